# fig1.gp: figure 1 of the paper: plaintext.
load SCRIPTS."/throughput_cpu.gp"
