// SPDX-License-Identifier: GPL-2.0
/* The least that a hypervisor's user space must do; see vm.h and Documentation/virt/kvm/api.rst. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "perf.h"
#include "record.h"
#include "vm.h"
#include "vm_arch.h"

#define PROGRAM		"/probes/vm"
#define LINE		128

static struct {
	struct vm fds;
	struct kvm_run *run;
	char said[LINE];
	size_t length;
	bool stopped;
} own;

static void load_program(void *memory)
{
	int fd = open(PROGRAM, O_RDONLY | O_CLOEXEC);
	char *file = mmap(NULL, VM_BYTES, PROT_READ, MAP_PRIVATE, fd, 0);

	if (fd < 0 || file == MAP_FAILED)
		record_die(PROGRAM);
	place_program(memory, file, lseek(fd, 0, SEEK_END));
	close(fd);
}

static void add_memory(void)
{
	struct kvm_userspace_memory_region region = {
		.guest_phys_addr = VM_MEMORY,
		.memory_size = VM_BYTES,
	};
	void *memory = mmap(NULL, VM_BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		record_die("mmap of a virtual machine's memory");
	load_program(memory);
	region.userspace_addr = (uintptr_t)memory;
	vm_ioctl(own.fds.vm, KVM_SET_USER_MEMORY_REGION, (uintptr_t)&region);
}

static void make_vm(void)
{
	struct vm *fds = &own.fds;

	fds->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (fds->kvm < 0)
		record_die("/dev/kvm");
	fds->vm = vm_ioctl(fds->kvm, KVM_CREATE_VM, 0);
	add_memory();
	make_cpu(fds);
	own.run = mmap(NULL, vm_ioctl(fds->kvm, KVM_GET_VCPU_MMAP_SIZE, 0),
		       PROT_READ | PROT_WRITE, MAP_SHARED, fds->cpu, 0);
	if (own.run == MAP_FAILED)
		record_die("mmap of a virtual CPU");
}

/* A result is a word and three numbers: guest-images/vm/main.c. */
static void record_line(void)
{
	unsigned long long counter, got, wanted;
	char what[LINE];

	if (sscanf(own.said, "%s %llx %llx %llx", what, &counter, &got, &wanted) == 4)
		record("{\"kind\":\"vm\",\"time\":%" PRIu64 ",\"what\":\"%s\",\"counter\":%llu,"
		       "\"got\":%llu,\"wanted\":%llu}", monotonic_ns(), what, counter, got, wanted);
	else
		record("{\"kind\":\"vm-said\",\"time\":%" PRIu64 ",\"text\":\"%s\"}",
		       monotonic_ns(), own.said);
}

static void take(char c)
{
	if (c != '\n' && own.length < LINE - 1) {
		own.said[own.length++] = c;
		return;
	}
	own.said[own.length] = '\0';
	own.length = 0;
	record_line();
}

void run_vm(uint64_t ns)
{
	uint64_t end = monotonic_ns() + ns;
	char c;

	if (!own.run)
		make_vm();
	while (!own.stopped && monotonic_ns() < end) {
		if (ioctl(own.fds.cpu, KVM_RUN, 0)) {
			if (errno == EINTR)
				continue;
			record_die("KVM_RUN");
		}
		switch (console_access(own.run, &c)) {
		case ACCESS_OUTPUT:
			take(c);
			break;
		case ACCESS_STATUS:
			break;
		case ACCESS_NONE:
			record("{\"kind\":\"vm-said\",\"time\":%" PRIu64
			       ",\"text\":\"stopped, KVM's exit reason being %u\"}",
			       monotonic_ns(), own.run->exit_reason);
			own.stopped = true;
		}
	}
}
