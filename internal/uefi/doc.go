// Package uefi reads and writes what a firmware with Secure Boot looks at (UEFI
// specification 2.10, chapter 32): signed EFI programs, lists of signatures, and its own
// variables. It tells whether the firmware of this machine would start a program, before a
// restart finds out; keys and signing are package secureboot's, of those who build images.
package uefi
