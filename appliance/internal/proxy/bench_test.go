package proxy

const benchRole = "VOSBED_PROXY_BENCH_ROLE"

func playRole(string) int { return 1 }
