//! Nodes as virtual machines: QEMU with a kernel of their own, virtio disks, a watchdog, and a disk that all see.

mod accelerator;
mod blocks;
mod cpio;
mod emulator;
mod image;
mod initrd;
mod machine;
mod modules;
mod qmp;

pub(crate) use machine::Vm;
