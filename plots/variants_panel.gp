# variants_panel.gp: one panel of variants.gp: METRIC of the rows with tls TLS and mode MODE; SIGN 1: more is
# better, -1: less is. Ratios are to atlas: 1 for atlas itself, by the means where nothing could be paired.

REF = NaN
TOP = 0
set xrange [*:*] # stats leaves out what lies outside
set yrange [*:*]
do for [i = 1:N] {
	V[i] = NaN; R[i] = NaN; LO[i] = NaN; HI[i] = NaN; FULL[i] = 1; HOL[i] = 0
	if (KEY_tls[i] eq TLS && mode(i) eq MODE) {
		stats FILE[i] using (column(METRIC)) nooutput
		if (exists("STATS_records") && STATS_records > 0) { V[i] = STATS_mean }
		if (is_atlas(i)) { REF = V[i]; R[i] = 1 }
		if (!is_atlas(i)) {
			stats FILE[i] using (column("ratio_".METRIC)) nooutput
			if (exists("STATS_records") && STATS_records > 0) { R[i] = STATS_mean }
			stats FILE[i] using (column("ratio_".METRIC."_lo")) nooutput
			if (exists("STATS_records") && STATS_records > 0) { LO[i] = STATS_mean }
			stats FILE[i] using (column("ratio_".METRIC."_hi")) nooutput
			if (exists("STATS_records") && STATS_records > 0) { HI[i] = STATS_mean }
		}
		stats FILE[i] using (column("hollow")) nooutput
		if (exists("STATS_records") && STATS_records > 0) { HOL[i] = STATS_mean > 0 }
		if (MODE eq "open") {
			stats FILE[i] using (column("req_per_s") / column("rate_req_per_s")) nooutput
			if (exists("STATS_records") && STATS_records > 0) { FULL[i] = STATS_mean }
		}
	}
}
# an interval of a few pairs may be as wide as the page: the whisker then ends at twice the bar
do for [i = 1:N] {
	if (!(R[i] > 0) && V[i] > 0 && REF > 0) { R[i] = V[i] / REF }
	if (R[i] > 0) { TOP = max(TOP, max(R[i], HI[i] > 0 ? min(HI[i], 1.5 * R[i]) : 0)) }
}
val(i) = R[i] * REF
high(i) = HI[i] > 0 ? min(HI[i], 1.5 * R[i]) * REF : val(i)
here(i) = R[i] > 0 && KEY_tls[i] eq TLS && mode(i) eq MODE
worse(i) = SIGN * (R[i] - 1) < 0
# where the client was the limit, throughput is a lower bound
says(i) = (METRIC eq "net_gbps" && HOL[i] ? "≥ " : "").(is_atlas(i) ? sprintf("%.3g", REF) : \
  HI[i] > 0 ? sprintf("× %.2f  [%.2f, %.2f]", R[i], LO[i], HI[i]) : sprintf("× %.2f", R[i])) \
  .(FULL[i] < 0.97 ? sprintf("  at %.0f %% load", 100 * FULL[i]) : "")

set yrange [0.4:NS + 0.6]
unset for [k = 200:200 + NS] label k
if (REF > 0) {
	XMAX = (MODE eq "open" ? 1.7 : 1.55) * TOP * REF
	set xrange [0:XMAX]
	set arrow 1 from first REF, graph 0 to first REF, graph 1 nohead linewidth 0.8 dashtype (4, 3) linecolor rgb "#0072b2" front
	do for [i = 1:N] {
		if (here(i)) { set label 200 + row(i) says(i) at first max(variant(i) ? max(val(i), REF) : val(i), high(i)) + 0.012 * XMAX, first row(i) left font SMALL textcolor rgb "#333333" front }
	}
	plot \
	  for [i = 1:N] FILE[i] using (here(i) ? 0 : NaN):(row(i)):(0):(variant(i) ? min(val(i), REF) : val(i)):(row(i) - 0.34):(row(i) + 0.34) with boxxyerror linecolor rgb base(i), \
	  for [i = 1:N] FILE[i] using (here(i) && variant(i) ? 0 : NaN):(row(i)):(min(val(i), REF)):(max(val(i), REF)):(row(i) - 0.34):(row(i) + 0.34) with boxxyerror linecolor rgb (worse(i) ? LOSS : GAIN), \
	  for [i = 1:N] FILE[i] using (here(i) && HI[i] > 0 ? val(i) : NaN):(row(i)):(LO[i] * REF):(high(i)) with xerrorbars linecolor rgb "#222222" linewidth 1.0 pointtype -1
} else {
	set label 200 "not measured" at graph 0.5, graph 0.5 center font SMALL textcolor rgb "#666666"
	set xrange [0:1]
	plot NaN
}
