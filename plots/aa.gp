# aa.gp: a stack against itself: the ratio of each metric with its 95 % interval, (a) between twins, (b) with and
# without collectors. Everything should cross 1. Draws aa.csv (harness/aa.h), not the series.

# Words of aa.csv's two comment lines: the sentence, and the collectors' CPU.
SENTENCE = system("sed -n 's/^# //p' aa.csv | head -n 1")
CPU = system("sed -n 's/^# //p' aa.csv | sed -n 2p")
set datafile commentschars "#"
LINES = int(system("grep -c '^twin,' aa.csv"))
ON = int(system("grep -c '^active,' aa.csv"))
MOST = max(LINES, ON)
EXTENT = real(system("awk -F, '/^(twin|active),/ && $6 != \"nan\" {a = log($6); if (a < 0) a = -a; b = log($7); if (b < 0) b = -b; m = a > m ? a : m; m = b > m ? b : m} END {printf \"%.4f\", m < 0.02 ? 0.02 : m}' aa.csv"))

unset key
unset logscale x
set yrange [MOST + 0.6:0.4]
set xrange [exp(-1.15 * EXTENT):exp(1.15 * EXTENT)]
set logscale x
set xtics ()
if (EXTENT > 0.5) {
	do for [k = -6:6] { set xtics add (sprintf("%.3g", 2.0 ** k) 2.0 ** k) }
} else {
	TICK = EXTENT > 0.2 ? 0.2 : EXTENT > 0.08 ? 0.1 : EXTENT > 0.04 ? 0.05 : 0.01
	do for [k = -4:4] { set xtics add (sprintf("%.2f", 1 + k * TICK) 1 + k * TICK) }
}
unset grid
set grid xtics linewidth 0.5 linecolor rgb "#e2e2e2" linetype 1
set arrow 1 from 1, graph 0 to 1, graph 1 nohead linecolor rgb "#8c8c8c" linewidth 1
set bmargin at screen CAPTION_Y + 0.23
set label 90 SENTENCE at screen 0.02, CAPTION_Y + 0.1 left font MEDIUM
set label 91 CPU at screen 0.02, CAPTION_Y + 0.05 left font MEDIUM
set multiplot

name(p, m) = p."  ".m
# The k-th line of a kind; a difference is vermillion.
draw(kind) = sprintf("< awk -F, '$1 == \"%s\" {gsub(/\"/, \"\"); print ++n \",\" $3 \",\" $2 \",\" $5 \",\" ($6 == \"nan\" ? $5 : $6) \",\" ($7 == \"nan\" ? $5 : $7) \",\" $10}' aa.csv", kind)

set lmargin at screen 0.2
set rmargin at screen 0.56
set label 1 "(a) a stack against itself" at graph 0, 1.07 left font MEDIUM
set xlabel "second twin / first" offset 0, 0.3
plot draw("twin") using 4:1:5:6:ytic(name(stringcolumn(2), stringcolumn(3))) with xerrorbars pointtype 7 pointsize PS linewidth 1.3 linecolor rgb "#000000" notitle, \
  draw("twin") using ($7 > 0 ? $4 : NaN):1:5:6 with xerrorbars pointtype 7 pointsize PS linewidth 1.3 linecolor rgb "#d55e00" notitle

do for [k = 101:101 + CAPTIONS] { unset label k }
unset label 90
unset label 91
set lmargin at screen 0.6
set rmargin at screen 0.96
set label 1 "(b) with collectors, and without" at graph 0, 1.07 left font MEDIUM
set xlabel "with / without" offset 0, 0.3
set ytics format ""
plot draw("active") using 4:1:5:6 with xerrorbars pointtype 7 pointsize PS linewidth 1.3 linecolor rgb "#000000" notitle, \
  draw("active") using ($7 > 0 ? $4 : NaN):1:5:6 with xerrorbars pointtype 7 pointsize PS linewidth 1.3 linecolor rgb "#d55e00" notitle
unset multiplot
set output
