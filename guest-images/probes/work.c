// SPDX-License-Identifier: GPL-2.0
/* The workloads; see work.h. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "perf.h"
#include "record.h"
#include "script.h"
#include "work.h"

#define MOST_RANDOM	(8 << 20)
#define CGROUPS		"/sys/fs/cgroup"

static char *new_pages(uint64_t number)
{
	char *pages = mmap(NULL, number * PAGE_SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pages == MAP_FAILED)
		record_die("mmap of pages to fault in");
	return pages;
}

void fault_pages(uint64_t number)
{
	volatile char *pages = new_pages(number);

	for (uint64_t i = 0; i < number; i++)
		pages[i * PAGE_SIZE] = 1;
	munmap((void *)pages, number * PAGE_SIZE);
}

void fault_pages_in_kernel(uint64_t number)
{
	char *pages = new_pages(number);
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, pages, number * PAGE_SIZE) != (ssize_t)(number * PAGE_SIZE))
		record_die("read of /dev/zero");
	close(fd);
	munmap(pages, number * PAGE_SIZE);
}

void call_kernel(uint64_t number)
{
	for (uint64_t i = 0; i < number; i++)
		syscall(SYS_getppid);
}

void touch_variable(int variable, uint64_t number)
{
	for (uint64_t i = 0; i < number; i++)
		watched_variables[variable] = i;
}

static void receive(int signal)
{
	(void)signal;
}

void deliver_signals(uint64_t number)
{
	struct sigaction action = { .sa_handler = receive };

	if (sigaction(SIGUSR1, &action, NULL))
		record_die("sigaction");
	for (uint64_t i = 0; i < number; i++)
		raise(SIGUSR1);
}

void spend_in_kernel(uint64_t bytes)
{
	static char random[MOST_RANDOM];

	if (bytes > sizeof(random) || getrandom(random, bytes, GRND_INSECURE) < 0)
		record_die("getrandom");
}

void move_to_cpu(int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		record_die("sched_setaffinity");
}

static void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		record_die(path);
	close(fd);
}

void set_online(int cpu, int online)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", cpu);
	write_text(path, online ? "1" : "0");
}

static void make_cgroup(const char *name, char *path, size_t size)
{
	/* Version 1: version 2 gives perf_event to no child before it is asked for some controller. */
	if (access(CGROUPS "/cgroup.procs", F_OK) &&
	    mount("none", CGROUPS, "cgroup", 0, "perf_event"))
		record_die("mount of cgroups");
	snprintf(path, size, CGROUPS "/%s", name);
	if (mkdir(path, 0755) && errno != EEXIST)
		record_die(path);
}

int open_cgroup(const char *name)
{
	char path[128];
	int fd;

	make_cgroup(name, path, sizeof(path));
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		record_die(path);
	return fd;
}

void join_cgroup(const char *name)
{
	struct stat folder;
	char path[128];

	make_cgroup(name, path, sizeof(path));
	if (stat(path, &folder))
		record_die(path);
	/* The inode's number is the cgroup's id: cgroup_id() in include/linux/cgroup.h. */
	record("{\"kind\":\"cgroup\",\"name\":\"%s\",\"id\":%" PRIu64 ",\"tid\":%ld,"
	       "\"time\":%" PRIu64 "}",
	       name, (uint64_t)folder.st_ino, syscall(SYS_gettid), monotonic_ns());
	strncat(path, "/cgroup.procs", sizeof(path) - strlen(path) - 1);
	write_text(path, "0");
}
