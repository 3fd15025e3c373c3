// SPDX-License-Identifier: GPL-2.0
/*
 * receive BAR: write the files that the host put into an ivshmem device's memory.
 *
 * BAR is the device's memory in sysfs (resource2_wc).  It holds, for each file, a
 * page that begins with the name and the size, and then what is in the file, up
 * to the end of a page.  A page without a name ends them.  They go where we are.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

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
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

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

int main(int argc, char **argv)
{
	const unsigned char *memory;
	struct stat status;
	size_t size, at = 0;
	int fd;

	setbuf(stdout, NULL);
	if (argc != 2) {
		errno = EINVAL;
		die("usage: receive BAR");
	}
	fd = open(argv[1], O_RDONLY);
	if (fd < 0 || fstat(fd, &status))
		die(argv[1]);
	size = status.st_size;
	memory = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		die(argv[1]);
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
	return 0;
}
