# fig3.gp: figure 3 of the paper: (a) memory read (filled) and write (hollow) throughput, (b) bytes read from
# memory for each byte on the network. Where nothing was measured the panels say why.

EMPTY = MAX_MEM <= 0
# The reason may be long: broken at spaces.
WHY = "not measured on this machine:"
REST = MEM_WHY
while (strlen(REST) > 46) {
	CUT = 40 + strstrt(REST[41:*]." ", " ")
	WHY = WHY."\n".REST[1:CUT]
	REST = REST[CUT + 1:*]
}
WHY = WHY."\n".REST
set multiplot

set lmargin at screen 0.062
set rmargin at screen 0.37
set label 1 "(a) memory read and write throughput" at graph 0, 1.07 left font MEDIUM
set ylabel "memory throughput (Gb/s)" offset 1.2, 0
set yrange [0:EMPTY ? 1 : 1.1 * MAX_MEM]
if (EMPTY) {
	set format y ""
	set label 5 WHY at graph 0.5, 0.66 center font SMALL textcolor rgb "#555555"
}
plot \
  for [i = 1:N] FILE[i] using (place(column("x"), i)):(column("mem_read_gbps")) with lines linecolor rgb color(i) dashtype dash(i) linewidth 1.3 notitle, \
  for [i = 1:N] FILE[i] using (place(column("x"), i)):(column("mem_read_gbps")):(column("mem_read_gbps_ci95")) with yerrorbars linecolor rgb color(i) linewidth 1.0 pointtype -1 notitle, \
  for [i = 1:N] FILE[i] using (place(column("x"), i)):(column("mem_read_gbps")) with points pointtype filled(i) pointsize PS linecolor rgb color(i) notitle, \
  for [i = 1:N] FILE[i] using (place(column("x"), i)):(column("mem_write_gbps")) with lines linecolor rgb color(i) dashtype 3 linewidth 1.0 notitle, \
  for [i = 1:N] FILE[i] using (place(column("x"), i)):(column("mem_write_gbps")) with points pointtype hollow(i) pointsize PS linewidth 1.1 linecolor rgb color(i) notitle, \
  for [i = 1:N] keyentry with linespoints linecolor rgb color(i) dashtype dash(i) linewidth 1.3 pointtype filled(i) pointsize PS title LABEL[i], \
  keyentry with points pointtype 7 pointsize PS linecolor rgb "#555555" title "filled: read", \
  keyentry with points pointtype 6 pointsize PS linewidth 1.1 linecolor rgb "#555555" title "hollow: written"

if (EMPTY) { set label 5 "not measured on this machine" at graph 0.5, 0.66 center font SMALL textcolor rgb "#555555" }
do for [k = 101:101 + CAPTIONS] { unset label k }
unset key
set lmargin at screen 0.47
set rmargin at screen 0.755
set label 1 "(b) memory read for each byte sent" at graph 0, 1.07 left font MEDIUM
set ylabel "bytes read / network byte" offset 1.2, 0
set yrange [0:MAX_PER_BYTE > 0 ? 1.1 * MAX_PER_BYTE : 1]
plot \
  for [i = 1:N] FILE[i] using (place(column("x"), i)):(column("mem_read_per_net_byte")) with lines linecolor rgb color(i) dashtype dash(i) linewidth 1.3 notitle, \
  for [i = 1:N] FILE[i] using (place(column("x"), i)):(column("mem_read_per_net_byte")):(column("mem_read_per_net_byte_ci95")) with yerrorbars linecolor rgb color(i) linewidth 1.0 pointtype -1 notitle, \
  for [i = 1:N] FILE[i] using (place(column("x"), i)):(column("mem_read_per_net_byte")) with points pointtype filled(i) pointsize PS linecolor rgb color(i) notitle
unset multiplot
set output
