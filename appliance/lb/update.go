package lb

// Update is where newer versions of the appliance's software are looked for: once a day, and
// when somebody asks (guide 9.4.1).
type Update struct {
	// Server is the folder of a release, https://host[:port]/path/; "" = nobody is asked.
	Server string
	CAFile string // certificates (PEM) that vouch for the server, "" = the system's
	Proxy  string // http://host:port, "" = the server is reached directly
	// Manual leaves out the look of every day.
	Manual bool
}
