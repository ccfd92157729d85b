package api

import _ "embed" // of the description

// PathOpenAPI is the description of this API (OpenAPI 3.1): GET.
const PathOpenAPI = "/api/v1/openapi.yaml"

// OpenAPI is that description.
//
//go:embed openapi.yaml
var OpenAPI []byte
