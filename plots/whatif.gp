# whatif.gp: DRAM traffic per network byte of a simulated atlas: a row a line rate, a column what is
# varied around the base. dcn-whatif sets SCRIPTS, FORMAT and OUT, and loads DIR/plot/whatif.gp first,
# which names the experiment's base values; the points are in DIR/plot/whatif.csv.

# common.gp wants a figure of its kind described; only its terminal, palette and fonts are used here.
XS = 1
array XV[1] = [1]
N = 3
array COLOR[3] = [3, 2, 1]
array DASH[3] = [1, 2, 4]
array POINT[3] = [1, 2, 5]
XLABEL = ""
CAPTIONS = 0
array CAPTION[1]
WIDTH = 1280
HEIGHT = 200 + 215 * words(RATES)
load SCRIPTS."/common.gp"
unset label
unset key
set xtics autofreq
unset xlabel

DATA = "plot/whatif.csv"
COLS = words(AXES)
ROWS = words(RATES)

# What each series is: reads wait for whole records (wait 1) or not, LIFO or FIFO.
array WAIT[3] = [1, 1, 0]
array FIFO[3] = [0, 1, 0]
array NAME[3] = ["LIFO: last freed buffer first", "FIFO: oldest buffer first (atlas:fifo)", "LIFO, but reads start at any byte (min_pull 0)"]

axis_title(a) = a eq "llc" ? "last-level cache (MiB)" : a eq "ways" ? "its ways (2 for DDIO)" : a eq "ddio_ways" ? "ways for DDIO, of ".BASE_ways : a eq "io_window" ? "I/O window (reads)" : a eq "connections" ? "connections" : a
unit(a) = a eq "llc" ? 1048576.0 : 1.0
base(a) = value("AT_".a) / unit(a)
is_log(a) = a eq "llc" || a eq "io_window" || a eq "connections"
# The points of panel (a, r) and series i.
mine(a, r, i) = strcol("axis") eq a && column("line_gbps") == real(r) && column("wait") == WAIT[i] && column("fifo") == FIFO[i]
px(a) = column("x") / unit(a)

stats DATA using (column("total") + column("total_ci95")) nooutput
# What lies far above the rest is cut off and named by its number.
TOP = min(max(1.2, 1.08 * STATS_max), 3.5)
LEFT = 0.068
RIGHT = 0.985
BOTTOM = 128.0 / HEIGHT
UPPER = 1 - 82.0 / HEIGHT
GAPX = 0.018
GAPY = 34.0 / HEIGHT
W = (RIGHT - LEFT - GAPX * (COLS - 1)) / COLS
H = (UPPER - BOTTOM - GAPY * (ROWS - 1)) / ROWS

set multiplot
set label 101 "SIMULATED, not measured: ".TITLE at screen 0.02, 1 - 26.0 / HEIGHT left font LARGE
set label 102 "DRAM bytes (read and written) per network byte; 0 = everything stays in the cache" at screen 0.02, 1 - 48.0 / HEIGHT left font SMALL textcolor rgb "#555555"
set label 103 sprintf("Base (dotted line): LLC %s with %s ways, %s for DDIO; I/O window %s, 4 buffers of 64 KiB for each; %s connections, round-trip time %s, an ACK a %s bytes; load %s %% of the line rate;", BASE_llc, BASE_ways, BASE_ddio_ways, BASE_io_window, BASE_connections, BASE_rtt, BASE_ack_bytes, BASE_load) at screen 0.02, 44.0 / HEIGHT left font SMALL textcolor rgb "#555555"
set label 104 sprintf("disk latency %s, disks and cores twice as fast as the line; TLS records of %s bytes, sealed in place. Hollow: the I/O window or the disks kept it below the load. %s", BASE_disk_latency, BASE_record_size, REPETITIONS < 2 ? "One seed." : sprintf("Mean of %d seeds, bars 95 %% confidence.", REPETITIONS)) at screen 0.02, 28.0 / HEIGHT left font SMALL textcolor rgb "#555555"
set label 105 "A model of atlas's queues drives a set-associative LRU cache: no other work in it, no prefetcher, no kernel copy. min_pull 0: a read for any byte is rounded up to a record, and the buffer is held until all of it was sent." at screen 0.02, 12.0 / HEIGHT left font SMALL textcolor rgb "#555555"

do for [k = 1:ROWS] {
	do for [j = 1:COLS] {
		a = word(AXES, j)
		r = word(RATES, k)
		set lmargin at screen LEFT + (j - 1) * (W + GAPX)
		set rmargin at screen LEFT + (j - 1) * (W + GAPX) + W
		set tmargin at screen UPPER - (k - 1) * (H + GAPY)
		set bmargin at screen UPPER - (k - 1) * (H + GAPY) - H
		if (j == 1) { set ylabel sprintf("%s Gb/s", r) offset -1.2, 0 font MEDIUM; set format y "%g"; set ytics 1 } else { unset ylabel; set format y "" }
		unset logscale x
		set xrange [*:*]
		set yrange [*:*]
		stats DATA using (strcol("axis") eq a ? px(a) : NaN) nooutput
		set yrange [-0.03 * TOP:TOP]
		if (is_log(a)) {
			set logscale x 2
			set xrange [STATS_min / 1.25:STATS_max * 1.25]
		} else {
			set xrange [STATS_min - 0.06 * (STATS_max - STATS_min):STATS_max * 1.06]
		}
		if (is_log(a)) { set xtics STATS_min, STATS_max / STATS_min > 40 ? 4 : 2 } else { set xtics autofreq }
		if (a eq "connections") { set format x "%.0f" } else { set format x "%g" }
		if (k == ROWS) { set xlabel axis_title(a) offset 0, 0.4 } else { unset xlabel }
		set arrow 1 from base(a), graph 0 to base(a), graph 1 nohead dashtype (2, 4) linewidth 1.2 linecolor rgb "#444444" back
		if (k == 1 && j == 1) { set key at screen 0.985, 1 - 14.0 / HEIGHT right top vertical Left reverse samplen 3 spacing 1.15 noenhanced font SMALL maxrows 3 } else { unset key }
		plot \
		  for [i = 1:N] DATA using (mine(a, r, i) ? px(a) : NaN):(column("total")) smooth unique with lines linecolor rgb color(i) dashtype dash(i) linewidth 1.4 notitle, \
		  for [i = 1:N] DATA using (mine(a, r, i) ? px(a) : NaN):(column("total")):(column("total_ci95")) with yerrorbars linecolor rgb color(i) linewidth 0.9 pointtype -1 notitle, \
		  for [i = 1:N] DATA using (mine(a, r, i) ? px(a) : NaN):(column("total")) with points pointtype filled(i) pointsize PS linecolor rgb color(i) notitle, \
		  for [i = 1:N] DATA using (mine(a, r, i) ? px(a) : NaN):(column("total")):(column("short") == 1 ? 0.62 * PS : 0) with points pointtype filled(i) pointsize variable linecolor rgb "white" notitle, \
		  for [i = 1:N] DATA using (mine(a, r, i) ? px(a) : NaN):(TOP):(column("total") > TOP ? sprintf("%.1f", column("total")) : "") with labels left offset -0.8, -0.6 font SMALL textcolor rgb color(i) notitle, \
  for [i = 1:N] keyentry with linespoints linecolor rgb color(i) dashtype dash(i) linewidth 1.4 pointtype filled(i) pointsize PS title NAME[i]
		do for [l = 101:105] { unset label l }
	}
}
unset multiplot
set output
