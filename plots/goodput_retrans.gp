# goodput_retrans.gp: two panels against what the path does: (a) goodput, logarithmic, (b) share of bytes
# sent again. EVEN = 1 puts the places at equal distances (losses from 0 to some per cent).

if (!exists("EVEN")) EVEN = 0
X(x) = EVEN ? category(x) : x
LOW = 1e9; HIGH = 0; AGAIN = 0
do for [i = 1:N] {
	stats FILE[i] using (column("net_gbps")) nooutput
	LOW = min(LOW, STATS_min)
	HIGH = max(HIGH, STATS_max)
	stats FILE[i] using (column("retrans_pct")) nooutput
	if (STATS_records > 0) { AGAIN = max(AGAIN, STATS_max) }
}
if (EVEN) {
	unset logscale x
	set xtics ()
	do for [k = 1:XS] { set xtics add (sprintf("%g", XV[k]) k) }
	set xrange [0.7:XS + 0.3]
}

set multiplot

set lmargin at screen 0.062
set rmargin at screen 0.365
set label 1 "(a) goodput, logarithmic" at graph 0, 1.07 left font MEDIUM
set ylabel "goodput (Gb/s)" offset 1.2, 0
set logscale y 10
set yrange [LOW / 1.6:HIGH * 1.6]
set ytics add ("0.01" 0.01, "0.02" 0.02, "0.05" 0.05, "0.1" 0.1, "0.2" 0.2, "0.5" 0.5, "1" 1, "2" 2, "5" 5, "10" 10, "20" 20, "50" 50)
set grid ytics
plot \
  for [i = 1:N] FILE[i] using (X(column("x"))):(column("net_gbps")) with lines linecolor rgb color(i) dashtype dash(i) linewidth 1.3 notitle, \
  for [i = 1:N] FILE[i] using (X(column("x"))):(column("net_gbps")):(max(column("net_gbps") - column("net_gbps_ci95"), LOW / 1.6)):(column("net_gbps") + column("net_gbps_ci95")) with yerrorbars linecolor rgb color(i) linewidth 1.0 pointtype -1 notitle, \
  for [i = 1:N] FILE[i] using (X(column("x"))):(column("hollow") == 0 ? column("net_gbps") : NaN) with points pointtype filled(i) pointsize PS linecolor rgb color(i) notitle, \
  for [i = 1:N] FILE[i] using (X(column("x"))):(column("hollow") == 1 ? column("net_gbps") : NaN) with points pointtype filled(i) pointsize PS linecolor rgb "white" notitle, \
  for [i = 1:N] FILE[i] using (X(column("x"))):(column("hollow") == 1 ? column("net_gbps") : NaN) with points pointtype hollow(i) pointsize PS linewidth 1.1 linecolor rgb color(i) notitle, \
  for [i = 1:N] keyentry with linespoints linecolor rgb color(i) dashtype dash(i) linewidth 1.3 pointtype filled(i) pointsize PS title LABEL[i], \
  keyentry with points pointtype 6 pointsize PS linewidth 1.1 linecolor rgb "#555555" title "hollow: lower bound", \
  keyentry with lines linestyle 90 title (EVEN ? "lost on the path" : "")

unset label 1
do for [k = 101:101 + CAPTIONS] { unset label k }
unset key
unset logscale y
set ytics autofreq
set lmargin at screen 0.462
set rmargin at screen 0.755
set label 1 "(b) sent again" at graph 0, 1.07 left font MEDIUM
set ylabel "bytes sent again (% of the others)" offset 1.2, 0
set yrange [0:max(AGAIN, EVEN ? XV[XS] : 0.1) * 1.15]
plot \
  for [k = 1:1] FILE[k] using (X(column("x"))):(EVEN ? column("x") : NaN) with lines linestyle 90 notitle, \
  for [i = 1:N] FILE[i] using (X(column("x"))):(column("retrans_pct")) with lines linecolor rgb color(i) dashtype dash(i) linewidth 1.3 notitle, \
  for [i = 1:N] FILE[i] using (X(column("x"))):(column("retrans_pct")):(column("retrans_pct_ci95")) with yerrorbars linecolor rgb color(i) linewidth 1.0 pointtype -1 notitle, \
  for [i = 1:N] FILE[i] using (X(column("x"))):(column("retrans_pct")) with points pointtype filled(i) pointsize PS linecolor rgb color(i) notitle
unset multiplot
set output
