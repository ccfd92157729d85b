// Package web renders the WebUI (guide 9.3, 10, 11.2, 14.1.2) below /lbadmin/. It runs in
// the unprivileged web process, holds no state and knows package api alone: every
// request is made with the session of the person in front of it, whose token lives in
// their cookie only, and the daemon verifies each call.
//
// A screen is one Go file and one template of its name; [screens] is the menu and the
// only table of them. Pages work without scripts; what is live comes on top.
package web
