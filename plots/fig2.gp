# fig2.gp: figure 2 of the paper: encrypted.
load SCRIPTS."/throughput_cpu.gp"
