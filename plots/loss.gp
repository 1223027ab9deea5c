# loss.gp: goodput and retransmitted share against random loss.
EVEN = 1
load SCRIPTS."/goodput_retrans.gp"
