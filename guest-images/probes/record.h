/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Records: JSON lines into the channel, a shared-memory PCI BAR (ivshmem).
 *
 * A store into the BAR completes at once, so that writing a record raises no
 * interrupt and a run on an instruction clock stays exact.  Layout, little
 * endian: u64 magic, u64 length of the valid bytes, then the bytes.  The
 * length is published after the bytes, so that what a crash leaves is whole.
 */
#ifndef PROBES_RECORD_H
#define PROBES_RECORD_H

#include <stddef.h>

/* Map the channel; exits with a message on stderr when there is none. */
void record_open(void);

/* Append raw bytes, which must be whole lines.  A full channel drops them. */
void record_bytes(const char *bytes, size_t size);

/* Append one line; the format gives the JSON object, the newline is added. */
void record(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Record {"kind":"error"} with errno's text, and exit. */
void record_die(const char *what) __attribute__((noreturn));

#endif
