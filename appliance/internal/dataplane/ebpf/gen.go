package ebpf

// The objects are committed; rebuilding them needs clang 19 and llvm-strip 19 only.
//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -go-package ebpf -cflags "-O2 -g -mcpu=v3 -Wall -Werror -Wno-unused-function" -type config -type addr -type vip -type vip_slot -type service -type real -type load -type roster -type flow_key -type persist_key -type entry -type conflict_key -type conflict -type counter -type event -type identity -type probe -type probe_key dr bpf/dr.bpf.c
