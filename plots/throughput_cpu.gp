# throughput_cpu.gp: the paper's two panels: (a) network throughput, (b) CPU utilisation.

CEIL = "plot/ceilings.csv"
stats CEIL using "disk" name "CD" nooutput
stats CEIL using "client" name "CC" nooutput
stats CEIL using "crypto" name "CX" nooutput
top = 1.12 * MAX_NET
if (exists("CD_max") && CD_max == CD_max && CD_max < 3 * MAX_NET) { top = max(top, 1.08 * CD_max) }
if (exists("CC_max") && CC_max == CC_max && CC_max < 3 * MAX_NET) { top = max(top, 1.08 * CC_max) }

set multiplot
set label 1 TITLE at screen 0.5, 0.965 center font ",14"
set label 2 CAPTION1 at screen 0.03, 0.105 font ",9" textcolor rgb "#444444"
set label 3 CAPTION2 at screen 0.03, 0.07 font ",9" textcolor rgb "#444444"
set label 4 CAPTION3 at screen 0.03, 0.035 font ",9" textcolor rgb "#444444"
set tmargin at screen 0.88
set bmargin at screen 0.36

set lmargin at screen 0.07
set rmargin at screen 0.44
set label 5 "(a) network throughput" at graph 0, 1.05 font ",12"
set ylabel "network throughput (Gb/s)" offset 1, 0
set yrange [0:top > 0 ? top : 1]
set key at screen 0.5, 0.235 center horizontal maxcols 4 samplen 3.2 width 1 noenhanced
X0(x) = CATEGORIES ? category(x) - 0.42 : x
plot \
  CEIL using (X0(column("x"))):(column("disk")):(CATEGORIES ? 0.84 : 0):(0) with vectors nohead linestyle 90 notitle, \
  CEIL using (X0(column("x"))):(column("client")):(CATEGORIES ? 0.84 : 0):(0) with vectors nohead linestyle 90 notitle, \
  CEIL using (X0(column("x"))):(column("disk")) with lines linestyle 90 notitle, \
  for [i = 1:N] FILE[i] using (place(column("x"), i)):(column("net_gbps")) with lines linecolor rgb color(i) dashtype dash(i) linewidth 1.6 notitle, \
  for [i = 1:N] FILE[i] using (place(column("x"), i)):(column("net_gbps")):(column("net_gbps_ci95")) with yerrorbars linecolor rgb color(i) linewidth 1.1 pointtype -1 notitle, \
  for [i = 1:N] FILE[i] using (place(column("x"), i)):(column("net_gbps")) with points pointtype filled(i) pointsize 0.9 linecolor rgb color(i) notitle, \
  for [i = 1:N] keyentry with linespoints linecolor rgb color(i) dashtype dash(i) linewidth 1.6 pointtype filled(i) pointsize 0.9 title LABEL[i]

unset label 1
unset label 2
unset label 3
unset label 4
unset key
set lmargin at screen 0.57
set rmargin at screen 0.94
set label 5 "(b) CPU utilisation of the server" at graph 0, 1.05 font ",12"
set ylabel "CPU utilisation (%)"
set yrange [0:max(100.0 * CORES, MAX_CPU) * 1.08]
plot for [i = 1:N] FILE[i] using (place(column("x"), i)):(column("cpu_pct")) with lines linecolor rgb color(i) dashtype dash(i) linewidth 1.6 notitle
unset multiplot
