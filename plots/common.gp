# common.gp: terminal, palette and helpers of every figure. plots/README.md lists the variables that
# `dcn plot` sets before loading it.
#
# Legible in print, in grey and by colour-blind readers: a line differs from any other by colour
# (Okabe and Ito's palette, ordered by falling darkness), by marker and by dash. Hollow markers are
# lower bounds: the client was the limit.

set datafile separator comma
set datafile missing NaN
set encoding utf8

if (!exists("FORMAT")) FORMAT = "svg"
if (!exists("OUT")) OUT = "figure.svg"
if (!exists("WIDTH")) WIDTH = 1000
if (!exists("HEIGHT")) HEIGHT = 560
if (FORMAT eq "svg") { set terminal svg size WIDTH,HEIGHT noenhanced font "Helvetica,13" background rgb "white" linewidth 1.0 }
if (FORMAT eq "pdf") { set terminal pdfcairo size WIDTH/100.0,HEIGHT/100.0 noenhanced font "Helvetica,9.4" linewidth 1.0 }
if (FORMAT eq "png") { set terminal pngcairo size 2*WIDTH,2*HEIGHT noenhanced font "Helvetica,13" fontscale 2 linewidth 2 pointscale 2 background rgb "white" }
set output OUT

# black, blue, vermillion, green, purple, orange, sky, grey
array PALETTE[8] = [0x000000, 0x0072b2, 0xd55e00, 0x009e73, 0xcc79a7, 0xe69f00, 0x56b4e9, 0x777777]
array FILLED[6] = [7, 5, 9, 13, 11, 15]
array HOLLOW[6] = [6, 4, 8, 12, 10, 14]
array DASHES[4] = [1, 2, 4, 5]
color(i) = PALETTE[(COLOR[i] - 1) % 8 + 1]
filled(i) = FILLED[(POINT[i] - 1) % 6 + 1]
hollow(i) = HOLLOW[(POINT[i] - 1) % 6 + 1]
dash(i) = DASHES[(DASH[i] - 1) % 4 + 1]

# One or two places on the x axis: they become categories, and markers step aside a little.
CATEGORIES = XS <= 2
category(x) = sum [k = 1:XS] (XV[k] == x ? k : 0)
STEP = N > 1 ? (0.5 / (N - 1) < 0.12 ? 0.5 / (N - 1) : 0.12) : 0
place(x, i) = CATEGORIES ? category(x) + STEP * (i - (N + 1) / 2.0) : x
LOGX = !CATEGORIES && XV[1] > 0 && XV[XS] / XV[1] >= 32

set border 3 linewidth 0.8 linecolor rgb "#444444"
set tics nomirror out scale 0.6 textcolor rgb "#222222"
set grid ytics linewidth 0.5 linecolor rgb "#dddddd" linetype 1
set style line 90 linecolor rgb "#8a8a8a" linewidth 1.0 dashtype 3
set xlabel XLABEL
if (CATEGORIES) {
	set xrange [0.5:XS + 0.5]
	set xtics ()
	do for [k = 1:XS] { set xtics add (sprintf("%.12g", XV[k]) k) }
}
if (!CATEGORIES) {
	if (LOGX) { set logscale x 2; set xrange [XV[1] / 1.2:XV[XS] * 1.2] } else {
		set xrange [XV[1] > 0 && XV[1] < 0.3 * XV[XS] ? 0 : XV[1] - 0.06 * (XV[XS] - XV[1]):XV[XS] + 0.06 * (XV[XS] - XV[1])]
		set xtics autofreq
	}
	set format x "%.0f"
}
max(a, b) = a > b ? a : b
