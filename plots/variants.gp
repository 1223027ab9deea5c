# variants.gp: from the stock stack to atlas. One row a stack; its bar is atlas's mean times the ratio paired
# by block, its whisker the 95 % interval of that ratio: a whisker that crosses atlas's line shows no difference.
# What a variant loses against atlas is red, what it gains green; stock stacks are grey, atlas is blue.

unset logscale x
unset key
array STACK[N]
NS = 0
do for [i = 1:N] {
	SEEN = 0
	do for [k = 1:NS] { if (STACK[k] eq KEY_stack[i]) { SEEN = 1 } }
	if (!SEEN) { NS = NS + 1; STACK[NS] = KEY_stack[i] }
}
row(i) = NS - (sum [k = 1:NS] (STACK[k] eq KEY_stack[i] ? k : 0)) + 1
mode(i) = exists("KEY_mode") ? KEY_mode[i] : "closed"
OPENS = sum [i = 1:N] (mode(i) eq "open")
ENC = sum [i = 1:N] (KEY_tls[i] eq "on")
PLAIN = N - ENC
TALL = (ENC > 0) + (PLAIN > 0)
ROW = 21.0
PANEL = NS * ROW + 74
H = 62 + TALL * PANEL + 17 * CAPTIONS + 4
eval terminal(WIDTH, H)
set output OUT
set label 101 TITLE at screen 0.02, 1 - 24.0 / H left font LARGE
do for [k = 1:CAPTIONS] {
	set label 101 + k CAPTION[k] at screen 0.02, (17.0 * (CAPTIONS - k) + 12) / H left font SMALL textcolor rgb "#555555"
}
KEYS = "grey: stock    blue: atlas    red: what a variant loses against atlas    green: what it gains    whisker: 95 % interval of the paired ratio    ≥: the client was the limit"
set label 100 KEYS at screen 0.02, 1 - 44.0 / H left font SMALL textcolor rgb "#555555"

is_atlas(i) = KEY_stack[i] eq "atlas"
variant(i) = strstrt(KEY_stack[i], "atlas:") == 1
base(i) = is_atlas(i) ? 0x0072b2 : variant(i) ? 0xb9d7ea : 0xbdbdbd
LOSS = 0xd55e00
GAIN = 0x009e73
set grid noytics xtics linewidth 0.5 linecolor rgb "#e2e2e2" linetype 1
set style fill solid 1.0 noborder
set xtics autofreq font SMALL
set xlabel "" offset 0, 0.3

# of a panel, see variants_panel.gp
array R[N]
array LO[N]
array HI[N]
array V[N]
array FULL[N]
array HOL[N]
set multiplot
DONE = 0
do for [TLS in "on off"] {
	if ((TLS eq "on" ? ENC : PLAIN) > 0) {
		set tmargin at screen 1 - (62 + DONE * PANEL + 26.0) / H
		set bmargin at screen 1 - (62 + DONE * PANEL + 26.0 + NS * ROW) / H
		WORD = TLS eq "on" ? "encrypted" : "plaintext"

		set lmargin at screen 0.115
		set rmargin at screen 0.53
		set ytics ()
		do for [i = 1:N] { set ytics add (KEY_stack[i] row(i)) }
		METRIC = "net_gbps"; MODE = "closed"; SIGN = 1
		set label 1 WORD.": throughput at saturation (Gb/s)" at graph 0, graph 1 + 12.0 / (NS * ROW) left font MEDIUM
		load SCRIPTS."/variants_panel.gp"
		unset for [k = 100:101 + CAPTIONS] label k

		set lmargin at screen 0.565
		set rmargin at screen 0.98
		set ytics ()
		do for [k = 1:NS] { set ytics add ("" k) }
		METRIC = "cpu_s_per_gb"; MODE = OPENS ? "open" : "closed"; SIGN = -1
		set label 1 WORD.": server CPU ".(OPENS ? "at equal load" : "at saturation")." (s/GB)" at graph 0, graph 1 + 12.0 / (NS * ROW) left font MEDIUM
		load SCRIPTS."/variants_panel.gp"
		DONE = DONE + 1
	}
}
unset multiplot
set output
