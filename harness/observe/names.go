package observe

// Names that the loads and the verdict agree on.
const (
	// MetricClientServer is a Sample emitted when the server that answers a
	// client changes: labels client, service and vip, value the server's id.
	// LabelLast is when the server before answered last, in milliseconds on
	// the run's clock; it is missing when there was none.
	MetricClientServer = "client_server"
	LabelLast          = "last_ms"
	// MetricPacerLate is how late the probe's sender was in one second (p99,
	// microseconds); MetricSteal the share of CPU time stolen in it (percent).
	MetricPacerLate = "pacer_late_us"
	MetricSteal     = "steal_pct"
	// MetricStealRatio is the lab's own sample of the same, between 0 and 1.
	MetricStealRatio = "steal_ratio"
	// MetricForeign is the share of CPU time that processes outside the lab took in
	// one second (percent).
	MetricForeign = "foreign_cpu_pct"
	// MetricTimerLate is how late a timer of 10 ms was at worst in one second
	// (milliseconds), as the lab saw it.
	MetricTimerLate = "lab_timer_late_ms"
	// MetricStaleFrames counts probe packets that the old node's MAC carried
	// after takeover; the harness takes it from the capture.
	MetricStaleFrames = "stale_frames"
	// SortCarrier is the Sort of a Frame that says which node's MAC carries the
	// packets to a VIP from now on; the other sorts are claims.
	SortCarrier = "carrier"
	// SuffixStall ends the name of Samples that are stalls of a stream in
	// milliseconds; their T is the end of the stall.
	SuffixStall = "_stall_ms"
	// SuffixDied ends the name of Samples emitted when a session dies; label
	// flow says which. SuffixFlows is the load's number of sessions.
	SuffixDied  = "_died"
	SuffixFlows = "_flows"
	// ValueHole is the value of a probe's Series that says how long the longest
	// hole was that touched the interval, in milliseconds; ValueSent how many
	// requests were sent in it.
	ValueHole = "hole_ms"
	ValueSent = "sent"
	// ValueReceived is how many requests were answered in the interval, ValueLate
	// how late the worst of its sendings was (microseconds).
	ValueReceived = "received"
	ValueLate     = "late_us"
	// ValueOpen is how many sessions of a load were open at the end of the interval.
	ValueOpen = "open"
	// EventStopped is the name of the event of a run that was stopped early.
	EventStopped = "stopped"
	// BrokenLate is the name of the record of a lab whose programs were not ready in
	// time.
	BrokenLate = "late"
)
