# rtt.gp: goodput and retransmitted share against the round-trip time.
load SCRIPTS."/goodput_retrans.gp"
