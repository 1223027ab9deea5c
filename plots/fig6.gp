# fig6.gp: figure 6 of the paper: (a) mean latency (left axis) and throughput (right axis) against the
# I/O window, as there; (b) the same points as latency against throughput, with the tail.

# The driver's label names the engine; readers want to know what it is. Colour by line: one stack only.
name(i) = strstrt(LABEL[i], "fio") ? "fio, io_uring" : "storage library"
tint(i) = PALETTE[i == 1 ? 3 : (i - 2) % 8 + 2]
LAT = 0; GBPS = 0; TAIL = 0
do for [i = 1:N] {
	stats FILE[i] using (column("disk_lat_us_mean") / 1000) nooutput
	LAT = max(LAT, STATS_max)
	stats FILE[i] using (column("disk_read_gbps")) nooutput
	GBPS = max(GBPS, STATS_max)
	stats FILE[i] using (column("disk_lat_us_p99") / 1000) nooutput
	TAIL = max(TAIL, STATS_max)
}
unset logscale x
set xtics autofreq
set multiplot

set lmargin at screen 0.062
set rmargin at screen 0.37
set label 1 "(a) against the I/O window" at graph 0, 1.07 left font MEDIUM
set border 11
set ylabel "mean latency (ms)" offset 1.2, 0
set y2label "throughput (Gb/s)" offset 0.4, 0
set y2tics nomirror out scale 0.5 textcolor rgb "#222222"
set yrange [0:1.25 * LAT]
set y2range [0:1.25 * GBPS]
set xrange [0:XV[XS] * 1.04]
plot \
  for [i = 1:N] FILE[i] using (column("x")):(column("disk_lat_us_mean") / 1000) axes x1y1 with lines linecolor rgb tint(i) linewidth 1.3 notitle, \
  for [i = 1:N] FILE[i] using (column("x")):(column("disk_lat_us_mean") / 1000):(column("disk_lat_us_mean_ci95") / 1000) axes x1y1 with yerrorbars linecolor rgb tint(i) linewidth 1.0 pointtype -1 notitle, \
  for [i = 1:N] FILE[i] using (column("x")):(column("disk_lat_us_mean") / 1000) axes x1y1 with points linecolor rgb tint(i) pointtype filled(i) pointsize PS notitle, \
  for [i = 1:N] FILE[i] using (column("x")):(column("disk_read_gbps")) axes x1y2 with lines linecolor rgb tint(i) dashtype 2 linewidth 1.3 notitle, \
  for [i = 1:N] FILE[i] using (column("x")):(column("disk_read_gbps")):(column("disk_read_gbps_ci95")) axes x1y2 with yerrorbars linecolor rgb tint(i) linewidth 1.0 pointtype -1 notitle, \
  for [i = 1:N] FILE[i] using (column("x")):(column("disk_read_gbps")) axes x1y2 with points linecolor rgb "white" pointtype filled(i) pointsize PS notitle, \
  for [i = 1:N] FILE[i] using (column("x")):(column("disk_read_gbps")) axes x1y2 with points linecolor rgb tint(i) linewidth 1.1 pointtype hollow(i) pointsize PS notitle, \
  for [i = 1:N] keyentry with linespoints linecolor rgb tint(i) linewidth 1.3 pointtype filled(i) pointsize PS title name(i), \
  keyentry with linespoints linecolor rgb "#555555" dashtype 1 pointtype 7 pointsize PS title "solid: mean latency", \
  keyentry with linespoints linecolor rgb "#555555" dashtype 2 pointtype 6 pointsize PS title "dashed, hollow: throughput", \
  keyentry with lines linecolor rgb "#555555" dashtype 3 linewidth 1.3 title "dotted: 99th percentile"

unset label 1
do for [k = 101:101 + CAPTIONS] { unset label k }
unset key
unset y2tics
unset y2label
set border 3
set lmargin at screen 0.502
set rmargin at screen 0.755
set label 1 "(b) latency against throughput" at graph 0, 1.07 left font MEDIUM
set xlabel "throughput (Gb/s)" offset 0, 0.3
set ylabel "latency (ms)" offset 1.2, 0
set xrange [0:1.08 * GBPS]
set yrange [0:1.08 * max(LAT, TAIL)]
plot \
  for [i = 1:N] FILE[i] using (column("disk_read_gbps")):(column("disk_lat_us_mean") / 1000) with linespoints linecolor rgb tint(i) linewidth 1.3 pointtype filled(i) pointsize PS notitle, \
  for [i = 1:N] FILE[i] using (column("disk_read_gbps")):(column("disk_lat_us_p99") / 1000) with lines linecolor rgb tint(i) dashtype 3 linewidth 1.3 notitle
unset multiplot
set output
