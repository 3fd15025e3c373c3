/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What differs between instruction sets of a virtual machine: where its memory and its
 * console are, its CPU's first state, its interrupt controller and its vPMU.
 */
#ifndef PROBES_VM_ARCH_H
#define PROBES_VM_ARCH_H

#include <errno.h>
#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "record.h"

#define VM_BYTES	(8 << 20)

struct vm {
	int kvm, vm, cpu;
};

enum access { ACCESS_NONE, ACCESS_STATUS, ACCESS_OUTPUT };

static inline int must(int result, const char *what)
{
	if (result < 0)
		record_die(what);
	return result;
}

/* ioctl(2), which must succeed. */
#define vm_ioctl(fd, request, argument)	must(ioctl(fd, request, argument), #request)

#if defined(__aarch64__)

#include <elf.h>

/* As QEMU's virt board has them: guest-images/accelerator/arm64. */
#define VM_MEMORY	0x40000000
#define UART_DATA	0x09000000
#define DISTRIBUTOR	0x08000000
#define REDISTRIBUTOR	0x080a0000
#define INTERRUPT_PMU	23

#define CORE_REGISTER(name) \
	(KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG(name))

static uint64_t vm_entry;

/* An ELF file. */
static inline void place_program(char *memory, const char *file, size_t size)
{
	const Elf64_Ehdr *header = (const void *)file;
	const Elf64_Phdr *segments = (const void *)(file + header->e_phoff);

	(void)size;
	for (int i = 0; i < header->e_phnum; i++)
		if (segments[i].p_type == PT_LOAD)
			memcpy(memory + segments[i].p_paddr - VM_MEMORY,
			       file + segments[i].p_offset, segments[i].p_filesz);
	vm_entry = header->e_entry;
}

static inline void set_attribute(int fd, uint32_t group, uint64_t attribute, void *value)
{
	struct kvm_device_attr attr = {
		.group = group, .attr = attribute, .addr = (uintptr_t)value,
	};

	vm_ioctl(fd, KVM_SET_DEVICE_ATTR, (uintptr_t)&attr);
}

static inline void make_interrupt_controller(int vm)
{
	struct kvm_create_device device = { .type = KVM_DEV_TYPE_ARM_VGIC_V3 };
	uint64_t distributor = DISTRIBUTOR, redistributor = REDISTRIBUTOR;

	vm_ioctl(vm, KVM_CREATE_DEVICE, (uintptr_t)&device);
	set_attribute(device.fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST,
		      &distributor);
	set_attribute(device.fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_REDIST,
		      &redistributor);
	set_attribute(device.fd, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, NULL);
}

/* The PMU wants the interrupt controller, which wants the CPU. */
static inline void make_cpu(struct vm *fds)
{
	struct kvm_vcpu_init init;
	struct kvm_one_reg pc = { CORE_REGISTER(regs.pc), (uintptr_t)&vm_entry };
	int interrupt = INTERRUPT_PMU;

	fds->cpu = vm_ioctl(fds->vm, KVM_CREATE_VCPU, 0);
	vm_ioctl(fds->vm, KVM_ARM_PREFERRED_TARGET, (uintptr_t)&init);
	init.features[0] |= 1 << KVM_ARM_VCPU_PSCI_0_2 | 1 << KVM_ARM_VCPU_PMU_V3;
	vm_ioctl(fds->cpu, KVM_ARM_VCPU_INIT, (uintptr_t)&init);
	make_interrupt_controller(fds->vm);
	set_attribute(fds->cpu, KVM_ARM_VCPU_PMU_V3_CTRL, KVM_ARM_VCPU_PMU_V3_IRQ, &interrupt);
	set_attribute(fds->cpu, KVM_ARM_VCPU_PMU_V3_CTRL, KVM_ARM_VCPU_PMU_V3_INIT, NULL);
	vm_ioctl(fds->cpu, KVM_SET_ONE_REG, (uintptr_t)&pc);
}

/* A PL011 whose FIFO is never full. */
static inline enum access console_access(struct kvm_run *run, char *c)
{
	if (run->exit_reason != KVM_EXIT_MMIO)
		return ACCESS_NONE;
	if (!run->mmio.is_write)
		memset(run->mmio.data, 0, sizeof(run->mmio.data));
	*c = run->mmio.data[0];
	return run->mmio.is_write && run->mmio.phys_addr == UART_DATA ? ACCESS_OUTPUT
								      : ACCESS_STATUS;
}

#elif defined(__x86_64__)

/* As a PC has them: guest-images/accelerator/x86_64. */
#define VM_MEMORY	0
#define IMAGE		0x100000
#define ENTRY		28		/* entry_addr of a multiboot header */
#define COM1		0x3f8
#define COM1_STATUS	(COM1 + 5)
#define STATUS_EMPTY	0x20
#define CR0_PE		1
#define FLAGS_FIXED	2
#define CPUID_ENTRIES	256

static uint32_t vm_entry;

/* A flat image that begins with a multiboot header. */
static inline void place_program(char *memory, const char *file, size_t size)
{
	memcpy(memory + IMAGE, file, size);
	memcpy(&vm_entry, file + ENTRY, sizeof(vm_entry));
}

/* What KVM can give, all of it: the maker's name says which PMU this is. */
static inline void set_cpuid(const struct vm *fds)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) +
					  CPUID_ENTRIES * sizeof(cpuid->entries[0]));

	if (!cpuid)
		record_die("calloc");
	cpuid->nent = CPUID_ENTRIES;
	vm_ioctl(fds->kvm, KVM_GET_SUPPORTED_CPUID, (uintptr_t)cpuid);
	vm_ioctl(fds->cpu, KVM_SET_CPUID2, (uintptr_t)cpuid);
	free(cpuid);
}

static inline struct kvm_segment flat(uint16_t selector, uint8_t type)
{
	return (struct kvm_segment) {
		.limit = UINT32_MAX, .selector = selector, .type = type,
		.present = 1, .db = 1, .s = 1, .g = 1,
	};
}

/* The 32-bit protected mode in which a multiboot loader leaves a CPU. */
static inline void make_cpu(struct vm *fds)
{
	struct kvm_regs regs = { .rip = vm_entry, .rflags = FLAGS_FIXED };
	struct kvm_sregs sregs;

	vm_ioctl(fds->vm, KVM_CREATE_IRQCHIP, 0);
	fds->cpu = vm_ioctl(fds->vm, KVM_CREATE_VCPU, 0);
	set_cpuid(fds);
	vm_ioctl(fds->cpu, KVM_GET_SREGS, (uintptr_t)&sregs);
	sregs.cs = flat(8, 11);
	sregs.ds = sregs.es = sregs.ss = sregs.fs = sregs.gs = flat(16, 3);
	sregs.cr0 |= CR0_PE;
	vm_ioctl(fds->cpu, KVM_SET_SREGS, (uintptr_t)&sregs);
	vm_ioctl(fds->cpu, KVM_SET_REGS, (uintptr_t)&regs);
}

/* A serial port that is always ready. */
static inline enum access console_access(struct kvm_run *run, char *c)
{
	char *data = (char *)run + run->io.data_offset;

	if (run->exit_reason != KVM_EXIT_IO)
		return ACCESS_NONE;
	if (run->io.direction == KVM_EXIT_IO_OUT) {
		*c = *data;
		return run->io.port == COM1 ? ACCESS_OUTPUT : ACCESS_NONE;
	}
	*data = run->io.port == COM1_STATUS ? STATUS_EMPTY : 0;
	return ACCESS_STATUS;
}

#else

/* None of its machines offers virtualization (configs/machines.yaml), nor is asked for it. */
#define VM_MEMORY	0

static inline void place_program(char *memory, const char *file, size_t size)
{
	memcpy(memory, file, size);
}

static inline void make_cpu(struct vm *fds)
{
	(void)fds;
	errno = ENOSYS;
	record_die("a virtual machine of this instruction set");
}

static inline enum access console_access(struct kvm_run *run, char *c)
{
	(void)run;
	(void)c;
	return ACCESS_NONE;
}

#endif

#endif
