// SPDX-License-Identifier: GPL-2.0
/* Taking out what the host put in; see receive.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "receive.h"

enum { PAGE = 4096, NAME = 56 };

struct header {
	char name[NAME];
	uint64_t size;
};

static void die(const char *what)
{
	printf("receive: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void store(const char *name, const unsigned char *from, size_t left)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0700);

	if (fd < 0)
		die(name);
	while (left) {
		ssize_t done = write(fd, from, left);

		if (done < 0)
			die(name);
		from += done;
		left -= done;
	}
	close(fd);
}

const unsigned char *given_at(const char *bar, size_t *size)
{
	const unsigned char *memory;
	struct stat status;
	int fd;

	fd = open(bar, O_RDONLY);
	if (fd < 0 || fstat(fd, &status))
		die(bar);
	*size = status.st_size;
	memory = mmap(NULL, *size, PROT_READ, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		die(bar);
	close(fd);
	return memory;
}

void receive(const unsigned char *memory, size_t size)
{
	size_t at = 0;

	while (at + PAGE <= size && memory[at]) {
		const struct header *header = (const void *)(memory + at);

		at += PAGE;
		if (header->name[NAME - 1] || header->size > size - at) {
			errno = EBADMSG;
			die("what the host put in");
		}
		store(header->name, memory + at, header->size);
		at += (header->size + PAGE - 1) / PAGE * PAGE;
	}
}
