package web

import (
	"fmt"
	"net/http"
)

// configuration shows what is in force.
func (v *visit) configuration() error {
	yaml, revision, err := v.api.Config(v.ctx())
	if err != nil {
		return err
	}
	return v.page("configuration", "View Configuration", struct{ Revision, YAML string }{revision, string(yaml)})
}

// configurationFile is the same as a file.
func (v *visit) configurationFile() error {
	yaml, revision, err := v.api.Config(v.ctx())
	if err != nil {
		return err
	}
	v.download("application/yaml", fmt.Sprintf("vosbed-%s.yaml", revision))
	_, err = v.w.Write(yaml)
	return ignoreGone(err)
}

// download makes the answer a file. The name holds no text of a person.
func (v *visit) download(kind, name string) {
	v.w.Header().Set("Content-Type", kind)
	v.w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	v.w.WriteHeader(http.StatusOK)
}
