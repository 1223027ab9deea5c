# variants.gp: one bar a stack: (a) throughput, (b) the server's CPU time per gigabyte. Stock stacks and
# atlas with one decision changed, atlas itself in colour at the bottom of its group.

unset logscale x
set xtics autofreq
set ytics ()
GB = 0
NET = 0
do for [i = 1:N] {
	set ytics add (LABEL[i] N - i + 1)
	stats FILE[i] using (column("net_gbps") + (column("net_gbps_ci95") > 0 ? column("net_gbps_ci95") : 0)) nooutput
	NET = max(NET, STATS_max)
	stats FILE[i] using (column("cpu_s_per_gb") + (column("cpu_s_per_gb_ci95") > 0 ? column("cpu_s_per_gb_ci95") : 0)) nooutput
	GB = max(GB, STATS_max)
}
atlas(i) = LABEL[i] eq "atlas" || strstrt(LABEL[i], "atlas,") == 1
tint(i) = atlas(i) ? 0x0072b2 : strstrt(LABEL[i], "atlas") ? 0x9ecae1 : 0xbdbdbd
y(i) = N - i + 1
unset key
set grid noytics xtics linewidth 0.5 linecolor rgb "#e2e2e2" linetype 1
set yrange [0.4:N + 0.6]
set style fill solid 1.0 noborder
set multiplot

set lmargin at screen 0.19
set rmargin at screen 0.56
set label 1 "(a) network throughput; hollow end: the client was the limit" at graph 0, 1.07 left font MEDIUM
set xlabel "Gb/s" offset 0, 0.3
set xrange [0:1.08 * NET]
plot \
  for [i = 1:N] FILE[i] using (column("net_gbps")):(y(i)):(0):(column("net_gbps")):(y(i) - 0.32):(y(i) + 0.32) with boxxyerror linecolor rgb tint(i), \
  for [i = 1:N] FILE[i] using (column("net_gbps")):(y(i)):(column("net_gbps_ci95")) with xerrorbars linecolor rgb "#222222" linewidth 1.0 pointtype -1, \
  for [i = 1:N] FILE[i] using (column("hollow") == 1 ? column("net_gbps") : NaN):(y(i)) with points pointtype 6 pointsize PS linewidth 1.1 linecolor rgb "#222222"

do for [k = 101:101 + CAPTIONS] { unset label k }
set lmargin at screen 0.6
set rmargin at screen 0.97
set format y ""
set label 1 "(b) server CPU time per gigabyte" at graph 0, 1.07 left font MEDIUM
set xlabel "s/GB" offset 0, 0.3
set xrange [0:1.08 * GB]
plot \
  for [i = 1:N] FILE[i] using (column("cpu_s_per_gb")):(y(i)):(0):(column("cpu_s_per_gb")):(y(i) - 0.32):(y(i) + 0.32) with boxxyerror linecolor rgb tint(i), \
  for [i = 1:N] FILE[i] using (column("cpu_s_per_gb")):(y(i)):(column("cpu_s_per_gb_ci95")) with xerrorbars linecolor rgb "#222222" linewidth 1.0 pointtype -1
unset multiplot
set output
