// SPDX-License-Identifier: GPL-2.0
/*
 * reproduce SECONDS ROOT: run /reproducer below ROOT, and say how it ended.
 *
 * It has so much of the guest's time; what it leaves behind is killed.  Its output is bounded,
 * and leaves through the channel, line by line, so that what it said before a crash is there.
 * Its time is told on the console as it passes: a guest that is silent for long hangs.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "perf.h"
#include "record.h"

#define PROGRAM		"/reproducer"
#define SECOND_NS	1000000000ULL
#define TELL_NS		(SECOND_NS / 4)
#define LINE_BYTES	400
#define OUTPUT_BYTES	(64 << 10)	/* what is recorded of its output */
#define KILL_NS		(2 * SECOND_NS)	/* until a killed task counts as stuck */
#define LOOK_US		10000

static struct {
	char line[LINE_BYTES];
	size_t length;
	uint64_t bytes;		/* all that it wrote */
} said;

/* One line of output as a record; what is not printable is replaced. */
static void record_line(void)
{
	char text[2 * LINE_BYTES + 1];
	size_t size = 0;

	for (size_t i = 0; i < said.length; i++) {
		char c = said.line[i];

		if (c == '"' || c == '\\')
			text[size++] = '\\';
		text[size++] = c == '\t' ? ' ' : c < ' ' || c > '~' ? '?' : c;
	}
	text[size] = '\0';
	said.length = 0;
	record("{\"kind\":\"said\",\"text\":\"%s\"}", text);
}

static void take_output(int output)
{
	char bytes[4096];
	ssize_t got;

	/* Not for as long as it writes. */
	for (int n = 0; n < 16 && (got = read(output, bytes, sizeof(bytes))) > 0; n++) {
		for (ssize_t i = 0; i < got && said.bytes + i < OUTPUT_BYTES; i++) {
			if (bytes[i] != '\n')
				said.line[said.length++] = bytes[i];
			if (bytes[i] == '\n' || said.length == LINE_BYTES)
				record_line();
		}
		said.bytes += got;
	}
}

/* The kernel must not end us for memory that the program takes. */
static void set_oom_score(const char *score)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, score, strlen(score)) < 0)
		record_die("/proc/self/oom_score_adj");
	close(fd);
}

/* Becomes the program; the parent gets errno where it cannot. */
static void become(const char *root, int output, int failed)
{
	char *const argv[] = { PROGRAM, NULL };
	char *const environment[] = {
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/probes",
		"HOME=/root", "LC_ALL=C", NULL
	};

	set_oom_score("0");
	setsid();
	dup2(output, STDOUT_FILENO);
	dup2(output, STDERR_FILENO);
	if (!chroot(root) && !chdir("/tmp"))
		execve(PROGRAM, argv, environment);
	if (write(failed, &errno, sizeof(errno)) < 0)
		_exit(126);
	_exit(127);
}

/* Starts the program; `output` reads what it writes. */
static pid_t start(const char *root, int *output)
{
	int out[2], failed[2], error;
	pid_t child;

	if (pipe2(out, O_CLOEXEC) || pipe2(failed, O_CLOEXEC))
		record_die("pipe2");
	child = fork();
	if (child < 0)
		record_die("fork");
	if (!child)
		become(root, out[1], failed[1]);
	close(out[1]);
	close(failed[1]);
	if (read(failed[0], &error, sizeof(error)) == sizeof(error)) {
		errno = error;
		record_die("execve of the reproducer");
	}
	close(failed[0]);
	fcntl(out[0], F_SETFL, O_NONBLOCK);
	*output = out[0];
	return child;
}

/* Until the program has ended or its time is over; returns whether it has ended. */
static bool watch(pid_t child, int output, uint64_t begin, uint64_t seconds)
{
	int pidfd = syscall(SYS_pidfd_open, child, 0);

	if (pidfd < 0)
		record_die("pidfd_open");
	for (uint64_t told = 1; told <= seconds * SECOND_NS / TELL_NS; ) {
		struct pollfd fds[] = {
			{ .fd = pidfd, .events = POLLIN },
			{ .fd = output, .events = POLLIN },
		};
		uint64_t now = monotonic_ns(), next = begin + told * TELL_NS;

		if (now < next && poll(fds, 2, (next - now) / 1000000 + 1) < 0)
			record_die("poll");
		take_output(output);
		if (fds[0].revents)
			return true;
		/* Everybody who could write is gone, or has closed it. */
		if (fds[1].revents == POLLHUP)
			output = -1;
		if (monotonic_ns() >= next)
			printf("pmu-harness: %llu ms\n", told++ * TELL_NS / 1000000);
	}
	return false;
}

/* End whatever it left running, and wait for it; returns whether something cannot be killed. */
static bool clean_up(pid_t child, int *status)
{
	uint64_t end = monotonic_ns() + KILL_NS;
	int other;
	pid_t pid;

	do {
		kill(-1, SIGKILL);
		while ((pid = waitpid(-1, &other, WNOHANG)) > 0)
			if (pid == child)
				*status = other;
		if (pid < 0)
			return false;
		usleep(LOOK_US);
	} while (monotonic_ns() < end);
	return true;
}

static void record_end(bool ended, int status, uint64_t ns, bool stuck)
{
	bool by_signal = ended && WIFSIGNALED(status);
	const char *name = by_signal ? sigabbrev_np(WTERMSIG(status)) : "";

	record("{\"kind\":\"reproduced\",\"ended\":\"%s\",\"status\":%d,\"signal\":\"%s\""
	       ",\"ns\":%" PRIu64 ",\"stuck\":%s,\"output\":%" PRIu64 "}",
	       by_signal ? "signal" : ended ? "exit" : "time",
	       ended && !by_signal ? WEXITSTATUS(status) : 0, name ? name : "RT",
	       ns, stuck ? "true" : "false", said.bytes);
}

int main(int argc, char **argv)
{
	uint64_t seconds = argc == 3 ? strtoull(argv[1], NULL, 10) : 0, begin, ns;
	bool ended, stuck;
	int output, status = 0;
	pid_t child;

	record_open();
	setvbuf(stdout, NULL, _IOLBF, 0);
	set_oom_score("-1000");
	if (!seconds || prctl(PR_SET_CHILD_SUBREAPER, 1))
		record_die("usage: reproduce SECONDS ROOT");
	begin = monotonic_ns();
	child = start(argv[2], &output);
	ended = watch(child, output, begin, seconds);
	ns = monotonic_ns() - begin;
	stuck = clean_up(child, &status);
	take_output(output);
	if (said.length)
		record_line();
	record_end(ended, status, ns, stuck);
	/* What it freed may be used only behind a grace period. */
	sleep(1);
	return 0;
}
