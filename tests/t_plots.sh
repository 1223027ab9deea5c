#!/bin/bash
# Figures whose scripts lay themselves out by the data: each is drawn from made-up results of its experiment,
# whole and with holes, and the ratios to atlas that `dcn plot` writes are the ones that were put in.
set -u
cd "$(dirname "$0")/.." || exit 1
# shellcheck source=tests/lib.sh
. tests/lib.sh
need_programs gnuplot python3

# A folder as `dcn run` leaves it: three blocks, a factor a block that cancels in pairs.
fake() { # figure, folder, what is left out
	mkdir -p "$2" && cp "workloads/$1.exp" "$2/experiment.exp" && echo '{}' >"$2/meta.json" || return 1
	python3 - "$1" "$2" "$3" <<'END'
import itertools, sys
fig, out, hole = sys.argv[1:]
stacks = ["nginx", "nginx:direct", "atlas:nogso", "atlas:copy", "atlas"]
worth = dict(zip(stacks, [4, 3, 2, 0.5, 1]))
keys = {"stack": stacks, "tls": ["on", "off"], "cache_ratio": ["0"], "connections": ["512"]}
if fig == "variants":
    keys["mode"] = ["closed", "open"]
if fig == "cache":
    keys["stack"], keys["tls"], keys["cache_ratio"] = ["nginx", "atlas"], ["on"], ["0", "50", "100"]
if fig == "window":
    keys["stack"], keys["tls"], keys["io_window"], keys["buffers"] = ["atlas"], ["on"], ["1", "16", "256"], ["256", "2048"]
stages = "receive tcp request submit complete seal transmit other empty idle".split()
prof = "user crypto net storage kernel foreign".split()
names = ["net_gbps", "req_per_s", "rate_req_per_s", "ttfb_ms_p50", "ttfb_ms_p99", "cpu_pct", "cpu_s_per_gb", "host_cpu_s_per_gb",
         "client_limited", "disk_read_gbps", "disk_lat_us_mean", "disk_lat_us_p99", "cache_hit_pct", "tsc_ghz", "ceil_disk_gbps"]
names += [f"stage_{s}_cyc_per_byte" for s in stages] + [f"prof_{p}_s_per_gb" for p in prof]
with open(out + "/runs.csv", "w") as f:
    f.write(",".join(["cell", "repetition", *keys, "valid", "bound", "start_s", "wall_s", *names, "why"]) + "\n")
    for rep in 1, 2, 3:
        for cell, values in enumerate(itertools.product(*keys.values())):
            k = dict(zip(keys, values))
            if k["stack"] == "atlas" and k["cache_ratio"] != "0":
                continue
            w, b = worth[k["stack"]], 1 + 0.3 * rep
            v = dict.fromkeys(names, 0.1 * w)
            v.update(net_gbps=8 / w * b, cpu_s_per_gb=w * b, host_cpu_s_per_gb=2 * w * b, req_per_s=900 / w, rate_req_per_s=1000,
                     client_limited=int(w == 1), cache_hit_pct=float(k["cache_ratio"]), tsc_ghz=2.6, ceil_disk_gbps=9)
            for n in names:
                if hole == "all" or (hole == "stages" and n.startswith(("stage_", "prof_"))) or \
                   (hole == "stack" and k["stack"] in ("nginx", "atlas:copy")):
                    v[n] = ""
            f.write(",".join([str(cell), str(rep), *values, "1", "", "0", "1", *(f"{v[n]}" for n in names), ""]) + "\n")
END
}

drawn() { # figure, what is left out
	local d=$tmp/$1-$2 f
	fake "$1" "$d" "$2" && build/dcn plot "$d" || return 1
	for f in svg pdf png; do [ -s "$d/$1.$f" ] || { echo "no $1.$f"; return 1; }; done
	! grep -qE '[ML ,"]-?nan' "$d/$1.svg" || { echo "NaN in the picture"; return 1; }
}

ratios() {
	python3 - "$tmp/variants-none/plot" <<'END'
import csv, glob, sys
want = {"nginx": 4, "nginx:direct": 3, "atlas:nogso": 2, "atlas:copy": 0.5}
seen = 0
for f in glob.glob(sys.argv[1] + "/series*.csv"):
    for r in csv.DictReader(open(f)):
        if r["stack"] == "atlas":
            assert r["ratio_cpu_s_per_gb"] == "NaN", r
            continue
        for m, w in ("cpu_s_per_gb", want[r["stack"]]), ("net_gbps", 1 / want[r["stack"]]):
            got = [float(r[f"ratio_{m}{e}"]) for e in ("", "_lo", "_hi")]
            assert all(abs(g / w - 1) < 1e-4 for g in got), (r["stack"], m, got, w) # the blocks' factors cancel
        seen += 1
assert seen == 16, seen
END
}

for f in variants stages cache window; do
	check "$f is drawn" drawn $f none
	check "$f with a stack missing" drawn $f stack
	check "$f with nothing measured" drawn $f all
done
check "stages without stages and samples" drawn stages stages
check "ratios to atlas are paired by block" ratios
finish
