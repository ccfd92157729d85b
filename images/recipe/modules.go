package recipe

import (
	"context"
	"slices"
	"strings"

	"github.com/vosbed/vosbed/images/kernel"
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
		"i6300esb", "iTCO_wdt", "softdog", "qemu_fw_cfg",
	}
}

// system are the modules that the system and the daemon ask for.
func system() []string {
	return []string{
		"ext4", "crc32c_generic", "vfat", "nls_cp437", "nls_ascii", "nls_iso8859_1", "isofs",
		"sch_ingress", "cls_bpf", "act_bpf", "8021q", "bonding",
	}
}

// rare are the modules that nothing asks for before the appliance serves.
func rare() []string {
	return []string{
		"dummy", "ip_vs", "ip_vs_rr", "ip_vs_wrr", "ip_vs_lc", "ip_vs_wlc", "ip_vs_sh", "ip_vs_mh",
		"nf_tables", "nf_conntrack", "nft_ct", "nft_log", "nft_reject_inet", "nft_limit",
		"efivarfs",
	}
}

// elsewhere says that nothing of ours lies at a place in the kernel's tree: to unpack the
// whole tree takes long.
func elsewhere(place string) bool {
	return slices.ContainsFunc([]string{
		"drivers/gpu/", "drivers/media/", "drivers/net/wireless/", "drivers/infiniband/", "drivers/iio/", "drivers/staging/", "sound/",
	}, func(tree string) bool { return strings.HasPrefix(place, tree) })
}

// unpackKernel takes the kernel's package apart in a folder.
func (b *builder) unpackKernel(ctx context.Context, dir string) (*kernel.Kernel, error) {
	deb, err := b.deb(ctx, kernelPackage)
	if err != nil {
		return nil, err
	}
	return kernel.Unpack(ctx, deb, dir, func(place string) bool { return !elsewhere(place) })
}
