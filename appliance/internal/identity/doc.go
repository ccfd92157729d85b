// Package identity keeps the certificate that an operator uploaded for the node's HTTPS
// (guide 9.3: "you can upload your own certificate"), and judges one before it is used.
// The certificate that a node makes for itself is that of package devtls.
package identity
