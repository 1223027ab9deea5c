# stages.gp: where the time goes: (a) every stack, by samples of its CPUs; (b) atlas and its variants, by the
# stages of a turn, in cycles per body byte. One row a stack, and a scheme.

unset logscale x
unset key
ROW = 23.0
TOPS = 104.0
H = TOPS + N * ROW + 78 + 17 * CAPTIONS
eval terminal(WIDTH, H)
set output OUT
set label 101 TITLE at screen 0.02, 1 - 24.0 / H left font LARGE
do for [k = 1:CAPTIONS] {
	set label 101 + k CAPTION[k] at screen 0.02, (17.0 * (CAPTIONS - k) + 12) / H left font SMALL textcolor rgb "#555555"
}
y(i) = N - i + 1
set grid noytics xtics linewidth 0.5 linecolor rgb "#e2e2e2" linetype 1
set style fill solid 1.0 noborder
set yrange [0.4:N + 0.6]
set xtics autofreq font SMALL
set xlabel "" offset 0, 0.3
set tmargin at screen 1 - TOPS / H
set bmargin at screen 1 - (TOPS + N * ROW) / H
ok(v) = v > 0 ? v : 0

PROF = "user crypto net storage kernel foreign"
PROFNAME = "program|encryption|kernel network|kernel storage|other kernel|other programs"
array PROFTINT[6] = [0x0072b2, 0xcc79a7, 0xe69f00, 0x009e73, 0x999999, 0xdddddd]
STG = "seal request tcp receive submit complete transmit other empty"
STGNAME = "seal|requests|TCP|receive|submit reads|completions|transmit|other|empty turns|outside"
array STGTINT[10] = [0xcc79a7, 0x882255, 0x0072b2, 0x56b4e9, 0x117733, 0x66bb88, 0xe69f00, 0x999999, 0xcccccc, 0xeeeeee]
# part k of a |-separated list
part(s, k) = k == 1 ? (strstrt(s, "|") ? s[1:strstrt(s, "|") - 1] : s) : part(s[strstrt(s, "|") + 1:*], k - 1)
prof(k) = column("prof_".word(PROF, k)."_s_per_gb")
stage(k) = column("stage_".word(STG, k)."_cyc_per_byte")
# what the CPU did while atlas was blocked: interrupts, kernel threads, and what ran beside it
busy(n) = sum [k = 1:9] stage(k)
outside(n) = ok(column("cpu_s_per_gb") * column("tsc_ghz") - busy(0))
upto_prof(n) = n < 1 ? 0 : sum [k = 1:n] ok(prof(k))
upto_stage(n) = n < 1 ? 0 : n < 10 ? (sum [k = 1:n] ok(stage(k))) : busy(0) + outside(0)

set xrange [*:*]
set yrange [*:*]
PMAX = 0
SMAX = 0
do for [i = 1:N] {
	stats FILE[i] using (upto_prof(6)) nooutput
	if (exists("STATS_records") && STATS_records > 0) { PMAX = max(PMAX, STATS_max) }
	stats FILE[i] using (upto_stage(10)) nooutput
	if (exists("STATS_records") && STATS_records > 0) { SMAX = max(SMAX, STATS_max) }
}
set yrange [0.4:N + 0.6]
set multiplot

LM = 0.165 # as wide as the longest label
do for [i = 1:N] { LM = max(LM, 0.02 + 0.0078 * strlen(LABEL[i])) }
LM = LM > 0.3 ? 0.3 : LM
set lmargin at screen LM
set rmargin at screen 0.53
set ytics ()
do for [i = 1:N] { set ytics add (LABEL[i] y(i)) }
set label 1 "(a) server CPU, s/GB, by sampling" at screen LM, 1 - 56.0 / H left font MEDIUM
do for [k = 1:6] {
	set label 10 + k "■ ".part(PROFNAME, k) at screen LM + (0.53 - LM) / 3 * ((k - 1) % 3), 1 - (76.0 + 15 * ((k - 1) / 3)) / H left font SMALL textcolor rgb PROFTINT[k]
}
if (PMAX > 0) {
	set xrange [0:1.04 * PMAX]
	plot for [i = 1:N] for [k = 1:6] FILE[i] using (upto_prof(k)):(y(i)):(upto_prof(k - 1)):(upto_prof(k)):(y(i) - 0.36):(y(i) + 0.36) with boxxyerror linecolor rgb PROFTINT[k]
} else {
	set xrange [0:1]
	set label 2 "not measured: see meta.json, prof_user_s_per_gb" at graph 0.5, graph 0.5 center font SMALL textcolor rgb "#666666"
	plot NaN
}
unset for [k = 100:101 + CAPTIONS] label k
unset for [k = 1:16] label k

set lmargin at screen 0.565
set rmargin at screen 0.98
set ytics ()
do for [k = 1:N] { set ytics add ("" k) }
set label 1 "(b) atlas, cycles per body byte, by stage" at screen 0.565, 1 - 56.0 / H left font MEDIUM
do for [k = 1:10] {
	set label 10 + k "■ ".part(STGNAME, k) at screen 0.565 + 0.083 * ((k - 1) % 5), 1 - (76.0 + 15 * ((k - 1) / 5)) / H left font SMALL textcolor rgb STGTINT[k]
}
if (SMAX > 0) {
	set xrange [0:1.04 * SMAX]
	plot for [i = 1:N] for [k = 1:10] FILE[i] using (upto_stage(k)):(y(i)):(upto_stage(k - 1)):(upto_stage(k)):(y(i) - 0.36):(y(i) + 0.36) with boxxyerror linecolor rgb STGTINT[k]
} else {
	set xrange [0:1]
	set label 2 "not measured: stack.stages = on counts" at graph 0.5, graph 0.5 center font SMALL textcolor rgb "#666666"
	plot NaN
}
unset multiplot
set output
