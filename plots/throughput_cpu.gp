# throughput_cpu.gp: the paper's two panels: (a) network throughput, (b) CPU utilisation.

CEIL = "plot/ceilings.csv"
# A ceiling far above everything measured would flatten the data: it is named in the key instead.
shown(v) = v > 0 && v < 2.2 * MAX_NET
TOP = 1.1 * MAX_NET
if (shown(CEIL_DISK)) { TOP = max(TOP, 1.06 * CEIL_DISK) }
if (shown(CEIL_CLIENT)) { TOP = max(TOP, 1.06 * CEIL_CLIENT) }
if (shown(CEIL_CRYPTO)) { TOP = max(TOP, 1.06 * CEIL_CRYPTO) }
if (TOP <= 0) { TOP = 1 }
XL(x) = CATEGORIES ? category(x) - 0.42 : x
XW = CATEGORIES ? 0.84 : 0
XE = CATEGORIES ? XS + 0.44 : XV[XS] + 0.02 * (XV[XS] - XV[1])
# Their names stand at the right of their lines, from the lowest up, one line of text apart at least.
array CV[3] = [CEIL_DISK, CEIL_CLIENT, CEIL_CRYPTO]
array CN[3] = ["disk", CLIENT_AT_LEAST ? "client ≥" : "client", "crypto"]
do for [i in "1 2 1"] {
  k = int(i)
  if (CV[k] > CV[k + 1]) {
    v = CV[k]; CV[k] = CV[k + 1]; CV[k + 1] = v
    s = CN[k]; CN[k] = CN[k + 1]; CN[k + 1] = s
  }
}
off(name, v) = v > 0 && !shown(v) ? sprintf("%s ceiling %.3g (off scale)", name, v) : ""

set multiplot

set lmargin at screen 0.062
set rmargin at screen 0.365
set label 1 "(a) network throughput" at graph 0, 1.07 left font MEDIUM
set ylabel "network throughput (Gb/s)" offset 1.2, 0
set yrange [0:TOP]
y = -TOP
do for [k = 1:3] {
  if (shown(CV[k])) {
    y = max(CV[k], y + 0.055 * TOP)
    set label 1 + k sprintf("%s %.3g", CN[k], CV[k]) at first XE, first y left font SMALL textcolor rgb "#666666"
  }
}
plot \
  for [c in "disk client crypto"] CEIL using (XL(column("x"))):(CATEGORIES && shown(column(c)) ? column(c) : NaN):(XW):(0) with vectors nohead linestyle 90 notitle, \
  for [c in "disk client crypto"] CEIL using (column("x")):(!CATEGORIES && shown(column(c)) ? column(c) : NaN) with lines linestyle 90 notitle, \
  for [i = 1:N] FILE[i] using (place(column("x"), i)):(column("net_gbps")) with lines linecolor rgb color(i) dashtype dash(i) linewidth 1.3 notitle, \
  for [i = 1:N] FILE[i] using (place(column("x"), i)):(column("net_gbps")):(column("net_gbps_ci95")) with yerrorbars linecolor rgb color(i) linewidth 1.0 pointtype -1 notitle, \
  for [i = 1:N] FILE[i] using (place(column("x"), i)):(column("hollow") == 0 ? column("net_gbps") : NaN) with points pointtype filled(i) pointsize PS linecolor rgb color(i) notitle, \
  for [i = 1:N] FILE[i] using (place(column("x"), i)):(column("hollow") == 1 ? column("net_gbps") : NaN) with points pointtype filled(i) pointsize PS linecolor rgb "white" notitle, \
  for [i = 1:N] FILE[i] using (place(column("x"), i)):(column("hollow") == 1 ? column("net_gbps") : NaN) with points pointtype hollow(i) pointsize PS linewidth 1.1 linecolor rgb color(i) notitle, \
  for [i = 1:N] keyentry with linespoints linecolor rgb color(i) dashtype dash(i) linewidth 1.3 pointtype filled(i) pointsize PS title LABEL[i], \
  keyentry with points pointtype 6 pointsize PS linewidth 1.1 linecolor rgb "#555555" title "hollow: lower bound", \
  keyentry with lines linestyle 90 title "ceilings", \
  keyentry with lines linecolor rgb "white" title off("disk", CEIL_DISK), \
  keyentry with lines linecolor rgb "white" title off("client", CEIL_CLIENT), \
  keyentry with lines linecolor rgb "white" title off("crypto", CEIL_CRYPTO)

do for [k = 1:4] { unset label k }
do for [k = 101:101 + CAPTIONS] { unset label k }
unset key
set lmargin at screen 0.49
set rmargin at screen 0.762
set label 1 "(b) server CPU, 100 % = one core" at graph 0, 1.07 left font MEDIUM
set ylabel "CPU utilisation (%)" offset 1.2, 0
set yrange [0:max(100.0 * CORES, MAX_CPU) * 1.05]
if (MAX_CPU <= 0) { set label 2 CPU_WHY at graph 0.5, 0.5 center font SMALL textcolor rgb "#666666" }
plot \
  100.0 * CORES with lines linestyle 90 notitle, \
  for [i = 1:N] FILE[i] using (place(column("x"), i)):(column("cpu_pct")) with lines linecolor rgb color(i) dashtype dash(i) linewidth 1.3 notitle, \
  for [i = 1:N] FILE[i] using (place(column("x"), i)):(column("cpu_pct")):(column("cpu_pct_ci95")) with yerrorbars linecolor rgb color(i) linewidth 1.0 pointtype -1 notitle, \
  for [i = 1:N] FILE[i] using (place(column("x"), i)):(column("hollow") == 0 ? column("cpu_pct") : NaN) with points pointtype filled(i) pointsize PS linecolor rgb color(i) notitle, \
  for [i = 1:N] FILE[i] using (place(column("x"), i)):(column("hollow") == 1 ? column("cpu_pct") : NaN) with points pointtype filled(i) pointsize PS linecolor rgb "white" notitle, \
  for [i = 1:N] FILE[i] using (place(column("x"), i)):(column("hollow") == 1 ? column("cpu_pct") : NaN) with points pointtype hollow(i) pointsize PS linewidth 1.1 linecolor rgb color(i) notitle
unset multiplot
set output
