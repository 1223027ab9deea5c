# common.gp: terminal, palette and helpers of every figure. README.md lists the variables that
# `dcn plot` sets before loading it.
#
# Legible in print, in grey and by colour-blind readers: a line differs from any other by colour
# (Okabe and Ito's palette), by marker and by dash. Hollow markers are lower bounds: the client was
# the limit there.

set datafile separator comma
set datafile missing NaN
set encoding utf8

if (!exists("FORMAT")) FORMAT = "svg"
if (!exists("OUT")) OUT = "figure.svg"
if (!exists("WIDTH")) WIDTH = 1000
if (!exists("HEIGHT")) HEIGHT = 470
SANS = "DejaVu Sans,Helvetica,Arial,sans-serif"
# A figure that needs another size: eval terminal(w, h), and set output OUT once more.
terminal(w, h) = FORMAT eq "svg" ? sprintf('set terminal svg size %d,%d noenhanced font "%s,11" background rgb "white"', w, h, SANS) : \
  FORMAT eq "pdf" ? sprintf('set terminal pdfcairo size %g,%g noenhanced font "DejaVu Sans,10.4" linewidth 1.1 pointscale 0.55', w / 100.0, h / 100.0) : \
  sprintf('set terminal pngcairo size %d,%d noenhanced font "DejaVu Sans,11" fontscale 1.75 linewidth 2 pointscale 1.9 background rgb "white"', 2 * w, 2 * h)
eval terminal(WIDTH, HEIGHT)
set output OUT
PS = FORMAT eq "svg" ? 0.6 : FORMAT eq "pdf" ? 1.3 : 0.9
SMALL = FORMAT eq "pdf" ? ",8" : ",8.5"
KEYFONT = FORMAT eq "pdf" ? ",9.4" : ",10"
MEDIUM = FORMAT eq "pdf" ? ",11" : ",11.5"
LARGE = FORMAT eq "pdf" ? ",12.5" : ",13"

# black, vermillion, blue, green, purple, orange, sky, grey: neighbours differ in lightness
array PALETTE[8] = [0x000000, 0xd55e00, 0x0072b2, 0x009e73, 0xcc79a7, 0xe69f00, 0x56b4e9, 0x777777]
array FILLED[6] = [7, 5, 9, 13, 11, 15]
array HOLLOW[6] = [6, 4, 8, 12, 10, 14]
array DASHES[4] = [1, 2, 4, 5]
color(i) = PALETTE[(COLOR[i] - 1) % 8 + 1]
filled(i) = FILLED[(POINT[i] - 1) % 6 + 1]
hollow(i) = HOLLOW[(POINT[i] - 1) % 6 + 1]
dash(i) = DASHES[(DASH[i] - 1) % 4 + 1]
max(a, b) = a > b ? a : b
min(a, b) = a < b ? a : b

# One or two places on the x axis become categories, where markers step aside a little.
CATEGORIES = XS <= 2
category(x) = sum [k = 1:XS] (XV[k] == x ? k : 0)
STEP = N > 1 ? min(0.56 / (N - 1), 0.11) : 0
place(x, i) = CATEGORIES ? category(x) + STEP * (i - (N + 1) / 2.0) : x
LOGX = !CATEGORIES && XV[1] > 0 && XV[XS] / XV[1] >= 32

set border 3 linewidth 0.7 linecolor rgb "#555555"
set tics nomirror out scale 0.5 textcolor rgb "#222222"
set grid ytics linewidth 0.5 linecolor rgb "#e2e2e2" linetype 1
set style line 90 linecolor rgb "#8c8c8c" linewidth 0.9 dashtype (6, 4)
set xlabel XLABEL offset 0, 0.3
thousands(v) = v < 1000 ? sprintf("%.12g", v) : sprintf("%d,%03d", int(v) / 1000, int(v) % 1000)
set xtics ()
EVERY = int(ceil(XS / 5.0))
do for [k = 1:XS] {
	if ((XS - k) % EVERY == 0) { set xtics add (thousands(XV[k]) CATEGORIES ? k : XV[k]) }
}
if (CATEGORIES) {
	set xrange [0.5:XS + 0.5]
} else { if (LOGX) {
	set logscale x 2
	set xrange [XV[1] / 1.2:XV[XS] * 1.2]
} else {
	XPAD = 0.05 * (XV[XS] - XV[1])
	set xrange [XV[1] >= 0 && XV[1] < 0.3 * XV[XS] ? 0 : XV[1] - XPAD:XV[XS] + XPAD]
} }

# Title above, caption below, a key in a column of its own at the right.
KEY_X = 0.775
CAPTION_Y = 0.045 + 0.033 * CAPTIONS
PLOT_BOTTOM = CAPTION_Y + 0.17
set tmargin at screen 0.83
set bmargin at screen PLOT_BOTTOM
set label 101 TITLE at screen 0.02, 0.955 left font LARGE
do for [k = 1:CAPTIONS] {
	set label 101 + k CAPTION[k] at screen 0.02, CAPTION_Y - 0.036 * (k - 1) left font SMALL textcolor rgb "#555555"
}
set key at screen KEY_X, 0.835 left top vertical Left reverse samplen 2.6 spacing 1.25 noenhanced font KEYFONT
