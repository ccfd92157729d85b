package recipe

import (
	"context"
	"path"
	"slices"
	"strings"

	"github.com/vosbed/vosbed/images/debian"
	"github.com/vosbed/vosbed/images/kmod"
)

// hardware are the modules for the machines that an appliance runs on: KVM, VMware,
// VirtualBox, Hyper-V, Xen, Nutanix, and plain PCs with common network cards.
func hardware() []string {
	return []string{
		"virtio_pci", "virtio_blk", "virtio_scsi", "virtio_net", "virtio_console", "virtio_rng", "virtio_balloon",
		"vmw_pvscsi", "vmxnet3", "mptspi", "mptsas",
		"ahci", "ata_piix", "nvme", "sd_mod", "sr_mod", "e1000", "e1000e", "igb", "ixgbe",
		"hv_vmbus", "hv_storvsc", "hv_netvsc", "hv_utils", "hyperv_keyboard",
		"xen_blkfront", "xen_netfront", "xen_scsifront",
		"i6300esb", "iTCO_wdt", "softdog",
	}
}

// system are the modules that the system and the daemon ask for.
func system() []string {
	return []string{
		"ext4", "crc32c_generic", "vfat", "nls_cp437", "nls_ascii", "nls_iso8859_1", "isofs",
		"sch_ingress", "cls_bpf", "act_bpf", "8021q", "bonding", "dummy",
		"ip_vs", "ip_vs_rr", "ip_vs_wrr", "ip_vs_lc", "ip_vs_wlc", "ip_vs_sh", "ip_vs_mh",
		"nf_tables", "nf_conntrack", "nft_ct", "nft_log", "nft_reject_inet", "nft_limit", "qemu_fw_cfg",
	}
}

// Modules returns the wanted modules of a kernel package with all that they need.
func Modules(ctx context.Context, deb string) (kmod.Index, map[string][]byte, error) {
	data, all := map[string][]byte{}, kmod.Index{}
	isModule := func(p string) bool { return strings.HasSuffix(p, ".ko") }
	err := debian.Files(ctx, deb, isModule, func(f debian.File) error {
		m, err := kmod.Parse(place(f.Path), f.Data)
		if err != nil {
			return err
		}
		all.Modules = append(all.Modules, m)
		data[m.Path] = f.Data
		return nil
	})
	if err != nil {
		return kmod.Index{}, nil, err
	}
	wanted, err := all.Order(slices.Concat(hardware(), system())...)
	if err != nil {
		return kmod.Index{}, nil, err
	}
	files := map[string][]byte{}
	for _, m := range wanted {
		files[m.Path] = data[m.Path]
	}
	return kmod.Index{Modules: wanted}, files, nil
}

// place is where a module lies in the image: a kernel has no two of one name.
func place(at string) string { return "/lib/modules/" + path.Base(at) }
