// SPDX-License-Identifier: GPL-2.0
/* channel: append standard input, whole JSON lines, to the record channel. */
#include <unistd.h>

#include "record.h"

int main(void)
{
	static char bytes[1 << 20];
	size_t held = 0;
	ssize_t got;

	record_open();
	while ((got = read(STDIN_FILENO, bytes + held, sizeof(bytes) - held)) > 0) {
		size_t whole;

		held += got;
		for (whole = held; whole && bytes[whole - 1] != '\n'; whole--)
			;
		record_bytes(bytes, whole);
		for (size_t i = whole; i < held; i++)
			bytes[i - whole] = bytes[i];
		held -= whole;
	}
	return got < 0;
}
