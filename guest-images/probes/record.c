// SPDX-License-Identifier: GPL-2.0
/* The channel in shared memory; see record.h. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "record.h"

#define CHANNEL_MAGIC	0x31434552554d50ULL	/* "PMUREC1" */
#define IVSHMEM_VENDOR	0x1af4
#define IVSHMEM_DEVICE	0x1110

struct channel {
	uint64_t magic;
	uint64_t length;
	char bytes[];
};

static struct channel *channel;
static size_t capacity;
/* The last word of the BAR: processes of one scenario write by turns. */
static uint32_t *turn;

static unsigned int read_hex(const char *device, const char *attribute)
{
	char path[256];
	unsigned int value = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", device, attribute);
	file = fopen(path, "r");
	if (file) {
		if (fscanf(file, "%x", &value) != 1)
			value = 0;
		fclose(file);
	}
	return value;
}

/* The write-combining mapping is ordinary memory; where the architecture has
 * none, the plain one is. */
static int open_bar(const char *device)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/resource2_wc", device);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	snprintf(path, sizeof(path), "%s/resource2", device);
	return open(path, O_RDWR | O_CLOEXEC);
}

static void enable_device(const char *device)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/enable", device);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, "1", 1) != 1)
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
	close(fd);
}

static void map_channel(const char *device)
{
	struct stat status;
	int fd;

	enable_device(device);
	fd = open_bar(device);
	if (fd < 0 || fstat(fd, &status))
		return;
	channel = mmap(NULL, status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (channel == MAP_FAILED) {
		channel = NULL;
		return;
	}
	capacity = status.st_size - sizeof(*channel) - sizeof(uint64_t);
	turn = (uint32_t *)(channel->bytes + capacity);
	if (channel->magic != CHANNEL_MAGIC) {
		channel->length = 0;
		channel->magic = CHANNEL_MAGIC;
	}
}

void record_open(void)
{
	glob_t devices;

	if (!glob("/sys/bus/pci/devices/*", 0, NULL, &devices)) {
		for (size_t i = 0; i < devices.gl_pathc && !channel; i++) {
			const char *device = devices.gl_pathv[i];

			if (read_hex(device, "vendor") == IVSHMEM_VENDOR &&
			    read_hex(device, "device") == IVSHMEM_DEVICE)
				map_channel(device);
		}
		globfree(&devices);
	}
	if (!channel) {
		fprintf(stderr, "record: no shared-memory PCI device to write records to\n");
		exit(2);
	}
}

void record_bytes(const char *bytes, size_t size)
{
	while (__atomic_exchange_n(turn, 1, __ATOMIC_ACQUIRE))
		sched_yield();
	if (size <= capacity - channel->length) {
		memcpy(channel->bytes + channel->length, bytes, size);
		__atomic_store_n(&channel->length, channel->length + size, __ATOMIC_RELEASE);
	} else {
		fprintf(stderr, "record: channel full, %zu bytes dropped\n", size);
	}
	__atomic_store_n(turn, 0, __ATOMIC_RELEASE);
}

void record(const char *format, ...)
{
	char line[4096];
	va_list arguments;
	int size;

	va_start(arguments, format);
	size = vsnprintf(line, sizeof(line) - 1, format, arguments);
	va_end(arguments);
	if (size < 0 || size >= (int)sizeof(line) - 1) {
		fprintf(stderr, "record: line too long\n");
		exit(2);
	}
	line[size++] = '\n';
	record_bytes(line, size);
}

void record_die(const char *what)
{
	record("{\"kind\":\"error\",\"what\":\"%s\",\"errno\":%d,\"text\":\"%s\"}",
	       what, errno, strerror(errno));
	exit(1);
}
