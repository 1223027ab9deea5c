# window.gp: against the I/O window (reads in flight), a line for each number of buffers: throughput, CPU time a
# gigabyte, and two latencies: of a disk read, and to the first byte at the client.

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
set logscale x 2
set xrange [XV[1] / 1.2:XV[XS] * 1.2]
set xtics ()
do for [k = 1:XS] { set xtics add (sprintf("%g", XV[k]) XV[k]) }
LINE = "linecolor rgb color(i) dashtype dash(i) linewidth 1.3"
# one stack: lines differ by their number of buffers, so by place, not by stack
array SHADE[6] = [0x0072b2, 0xd55e00, 0x009e73, 0xcc79a7, 0xe69f00, 0x000000]
color(i) = SHADE[(i - 1) % 6 + 1]

# the dots on the axis: a panel for which nothing was measured is empty, not an error
set multiplot

set tmargin at screen 0.885
set bmargin at screen MID + 0.06
set lmargin at screen 0.065
set rmargin at screen 0.4
set label 1 "(a) network throughput (Gb/s)" at graph 0, 1.07 left font MEDIUM
set xlabel ""
set key at screen 0.815, 0.885 left top vertical Left reverse samplen 2.6 spacing 1.25 noenhanced font KEYFONT
TOP = max(MAX_NET, CEIL_DISK < 1.5 * MAX_NET ? CEIL_DISK : 0)
set yrange [0:1.08 * max(TOP, 0.001)]
plot \
  0 with dots linecolor rgb "white" notitle, \
  "plot/ceilings.csv" using (column("x")):(column("disk") < 1.5 * MAX_NET ? column("disk") : NaN) with lines linestyle 90 notitle, \
  for [i = 1:N] FILE[i] using (column("x")):(column("net_gbps")) with lines @LINE notitle, \
  for [i = 1:N] FILE[i] using (column("x")):(column("net_gbps")):(column("net_gbps_ci95")) with yerrorbars linecolor rgb color(i) linewidth 1.0 pointtype -1 notitle, \
  for [i = 1:N] FILE[i] using (column("x")):(column("hollow") == 0 ? column("net_gbps") : NaN) with points pointtype filled(i) pointsize PS linecolor rgb color(i) notitle, \
  for [i = 1:N] FILE[i] using (column("x")):(column("hollow") == 1 ? column("net_gbps") : NaN) with points pointtype hollow(i) pointsize PS linewidth 1.1 linecolor rgb color(i) notitle, \
  for [i = 1:N] keyentry with linespoints @LINE pointtype filled(i) pointsize PS title LABEL[i], \
  keyentry with points pointtype 6 pointsize PS linewidth 1.1 linecolor rgb "#555555" title "hollow: lower bound", \
  keyentry with lines linestyle 90 title "disk ceiling"
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
set label 1 "(c) disk read (ms): mean, up to p99" at graph 0, 1.07 left font MEDIUM
plot \
  0 with dots linecolor rgb "white" notitle, \
  for [i = 1:N] FILE[i] using (column("x")):(column("disk_lat_us_mean") / 1000) with lines @LINE, \
  for [i = 1:N] FILE[i] using (column("x")):(column("disk_lat_us_mean") / 1000):(column("disk_lat_us_mean") / 1000):(column("disk_lat_us_p99") / 1000) with yerrorbars linecolor rgb color(i) linewidth 1.0 pointtype -1, \
  for [i = 1:N] FILE[i] using (column("x")):(column("disk_lat_us_mean") / 1000) with points pointtype filled(i) pointsize PS linecolor rgb color(i)

set lmargin at screen 0.465
set rmargin at screen 0.8
set label 1 "(d) first byte (ms): median, up to p99" at graph 0, 1.07 left font MEDIUM
plot \
  0 with dots linecolor rgb "white" notitle, \
  for [i = 1:N] FILE[i] using (column("x")):(column("ttfb_ms_p50")) with lines @LINE, \
  for [i = 1:N] FILE[i] using (column("x")):(column("ttfb_ms_p50")):(column("ttfb_ms_p50")):(column("ttfb_ms_p99")) with yerrorbars linecolor rgb color(i) linewidth 1.0 pointtype -1, \
  for [i = 1:N] FILE[i] using (column("x")):(column("ttfb_ms_p50")) with points pointtype filled(i) pointsize PS linecolor rgb color(i)
unset multiplot
set output
