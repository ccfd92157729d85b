package browser

import "time"

// Hello is the first line to the driver: where its browser keeps its files, and whose
// certificates it trusts though nobody has signed them, as "address:port".
type Hello struct {
	Program string   `json:"program"` // the browser
	Dir     string   `json:"dir"`     // made and removed by the driver
	Trust   []string `json:"trust,omitempty"`
}

// Order is every further line: what to do, one after the other.
type Order struct {
	Base string   `json:"base"` // what paths are below, such as https://192.168.94.10:9443
	Do   []Action `json:"do"`
	// Shot is the file for a picture of the page at the end; Always takes it even if
	// all went well.
	Shot   string `json:"shot,omitempty"`
	Always bool   `json:"always,omitempty"`
}

// Slack is what an action and a picture may take besides their patience, until the
// driver is given up. It is for a busy machine: nothing is judged by it.
const Slack = 30 * time.Second

// Bound is the time after which the driver is given up.
func (o Order) Bound() time.Duration {
	d := Slack
	for _, a := range o.Do {
		d += a.Patience()*time.Duration(max(1, len(a.Fill), len(a.Shows), len(a.Menu))) + Slack/3
	}
	return d
}

// Answer ends an order, or says that the browser is open. Err is empty if all went
// well.
type Answer struct {
	Err   string        `json:"err,omitempty"`
	Took  time.Duration `json:"took"`
	Shot  string        `json:"shot,omitempty"` // the picture, if one was taken
	Exams []Exam        `json:"exams,omitempty"`
	// Notes are remarks, such as a question that the page asked.
	Notes []string `json:"notes,omitempty"`
}

// Exam is what axe found on a page.
type Exam struct {
	Page       string      `json:"page"` // path
	Violations []Violation `json:"violations,omitempty"`
}

// Violation is one element that breaks one rule.
type Violation struct {
	Rule    string `json:"rule"`
	Impact  string `json:"impact"`
	Element string `json:"element"` // its source, shortened
	Help    string `json:"help"`
}
