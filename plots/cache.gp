# cache.gp: against the buffer cache ratio asked for: throughput, CPU time a gigabyte, disk bytes per body byte,
# and the ratio that was achieved. A stack that does not use the page cache is one flat line.

unset logscale x
unset key
H = 700
eval terminal(WIDTH, H)
set output OUT
set label 101 TITLE at screen 0.02, 0.965 left font LARGE
do for [k = 1:CAPTIONS] {
	set label 101 + k CAPTION[k] at screen 0.02, (17.0 * (CAPTIONS - k) + 12) / H left font SMALL textcolor rgb "#555555"
}
LOW = (17.0 * CAPTIONS + 70) / H
MID = 0.5 * (LOW + 0.885)
set xrange [XV[1] - 2:XV[XS] + 3]
set xtics autofreq
LINE = "linecolor rgb color(i) dashtype dash(i) linewidth 1.3"
POINTS = "pointtype filled(i) pointsize PS linecolor rgb color(i)"
# disk_read_gbps counts the device, net_gbps body bytes
disk(x) = column("disk_read_gbps") / column("net_gbps")

# the dots on the axis: a panel for which nothing was measured is empty, not an error
set multiplot

set tmargin at screen 0.885
set bmargin at screen MID + 0.06
set lmargin at screen 0.065
set rmargin at screen 0.4
set label 1 "(a) network throughput (Gb/s)" at graph 0, 1.07 left font MEDIUM
set xlabel ""
set key at screen 0.815, 0.885 left top vertical Left reverse samplen 2.6 spacing 1.25 noenhanced font KEYFONT
set yrange [0:1.08 * max(MAX_NET, 0.001)]
plot \
  0 with dots linecolor rgb "white" notitle, \
  for [i = 1:N] FILE[i] using (column("x")):(column("net_gbps")) with lines @LINE notitle, \
  for [i = 1:N] FILE[i] using (column("x")):(column("net_gbps")):(column("net_gbps_ci95")) with yerrorbars linecolor rgb color(i) linewidth 1.0 pointtype -1 notitle, \
  for [i = 1:N] FILE[i] using (column("x")):(column("hollow") == 0 ? column("net_gbps") : NaN) with points @POINTS notitle, \
  for [i = 1:N] FILE[i] using (column("x")):(column("hollow") == 1 ? column("net_gbps") : NaN) with points pointtype filled(i) pointsize PS linecolor rgb "white" notitle, \
  for [i = 1:N] FILE[i] using (column("x")):(column("hollow") == 1 ? column("net_gbps") : NaN) with points pointtype hollow(i) pointsize PS linewidth 1.1 linecolor rgb color(i) notitle, \
  for [i = 1:N] keyentry with linespoints @LINE pointtype filled(i) pointsize PS title LABEL[i], \
  keyentry with points pointtype 6 pointsize PS linewidth 1.1 linecolor rgb "#555555" title "hollow: lower bound", \
  keyentry with lines linestyle 90 title "(d) as asked"
do for [k = 101:101 + CAPTIONS] { unset label k }
unset key

set lmargin at screen 0.465
set rmargin at screen 0.8
set label 1 "(b) server CPU (s/GB)" at graph 0, 1.07 left font MEDIUM
set yrange [0:*]
plot \
  0 with dots linecolor rgb "white" notitle, \
  for [i = 1:N] FILE[i] using (column("x")):(column("cpu_s_per_gb")) with lines @LINE, \
  for [i = 1:N] FILE[i] using (column("x")):(column("cpu_s_per_gb")):(column("cpu_s_per_gb_ci95")) with yerrorbars linecolor rgb color(i) linewidth 1.0 pointtype -1, \
  for [i = 1:N] FILE[i] using (column("x")):(column("cpu_s_per_gb")) with points pointtype filled(i) pointsize PS linecolor rgb color(i)

set tmargin at screen MID - 0.045
set bmargin at screen LOW
set lmargin at screen 0.065
set rmargin at screen 0.4
set xlabel XLABEL offset 0, 0.3
set label 1 "(c) bytes from the disk per body byte" at graph 0, 1.07 left font MEDIUM
set yrange [0:*]
plot \
  0 with dots linecolor rgb "white" notitle, \
  for [i = 1:N] FILE[i] using (column("x")):(disk(0)) with lines @LINE, \
  1 - x / 100.0 with lines linestyle 90, \
  for [i = 1:N] FILE[i] using (column("x")):(disk(0)) with points pointtype filled(i) pointsize PS linecolor rgb color(i)

set lmargin at screen 0.465
set rmargin at screen 0.8
set label 1 "(d) achieved ratio, by requests (%)" at graph 0, 1.07 left font MEDIUM
set yrange [0:105]
plot \
  0 with dots linecolor rgb "white" notitle, \
  x with lines linestyle 90, \
  for [i = 1:N] FILE[i] using (column("x")):(column("cache_hit_pct")):(column("cache_hit_pct_ci95")) with yerrorbars linecolor rgb color(i) linewidth 1.0 pointtype -1, \
  for [i = 1:N] FILE[i] using (column("x")):(column("cache_hit_pct")) with points @POINTS
unset multiplot
set output
