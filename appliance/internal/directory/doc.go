// Package directory asks somebody else who a person is (guide 9.3): a directory by LDAP,
// Active Directory, or a RADIUS server. It keeps nothing: each check connects anew, within
// a bound of time and of bytes, and tells a wrong password from a server that could not be
// asked.
package directory
