# default.gp: any experiment without a script of its own.
load SCRIPTS."/throughput_cpu.gp"
