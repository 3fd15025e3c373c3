// SPDX-License-Identifier: GPL-2.0
/*
 * drive: performs a scenario.
 *
 * Opens the scenario's events in order, then performs the steps of "main" and,
 * where they say so, of other tasks; reads, page indexes and samples become
 * records.  A task that an event names waits from the beginning for "run";
 * "fork" and "thread" make any other one, which inherits events that are
 * opened so.  What the kernel may refuse becomes a record {"kind":"answer"};
 * steps on an event that was refused do nothing.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arch.h"
#include "aux.h"
#include "perf.h"
#include "pmu.h"
#include "record.h"
#include "script.h"
#include "vm.h"
#include "work.h"

#define SCENARIO		"/scenario"
#define SELF			"/probes/drive"
#define RING_PAGES		256
#define SPIN_ITERATIONS		10000
#define RANDOM_BYTES		16384
#define READ_INTERVAL_NS	5000000

struct running_task {
	pid_t pid;		/* of a process; 0 for a thread */
	bool killed;		/* by us */
	pthread_t thread;
	int start;		/* written to, to let a waiting one run */
};

static struct script *script;
static struct counter counters[MAX_EVENTS];
static struct running_task running[MAX_TASKS];
static uint64_t next_read;
static int phase;

static void perform(const struct task_spec *task, int from);

/* --- names ---------------------------------------------------------------- */

static int find_event(const char *name)
{
	for (int i = 0; i < script->events_number; i++)
		if (!strcmp(script->events[i].name, name))
			return i;
	record_die("script: unknown event name");
}

static int find_task(const char *name)
{
	for (int i = 0; i < script->tasks_number; i++)
		if (!strcmp(script->tasks[i].name, name))
			return i;
	record_die("script: unknown task name");
}

/* A sibling leads itself once its leader is closed. */
static bool leads(int event)
{
	const char *leader = script->events[event].leader;

	return counters[event].fd >= 0 && (!leader || counters[find_event(leader)].fd < 0);
}

/* --- what is seen --------------------------------------------------------- */

static volatile struct {
	uint64_t in, hup;
} signals[MAX_EVENTS];

static void note_signal(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	for (int i = 0; i < script->events_number; i++) {
		if (counters[i].fd != info->si_fd)
			continue;
		if (info->si_code == POLL_HUP)
			signals[i].hup++;
		else
			signals[i].in++;
	}
}

/* Of an event with sigtrap, which its task gets where it overflowed; sig_data says which. */
static void note_trap(int number, siginfo_t *info, void *context)
{
	uint64_t event;

	(void)number;
	(void)context;
	/* si_perf_data, behind si_addr: include/uapi/asm-generic/siginfo.h. */
	memcpy(&event, (const char *)info + 24, sizeof(event));
	if (event < MAX_EVENTS)
		signals[event].in++;
}

static void expect_traps(void)
{
	struct sigaction action = { .sa_sigaction = note_trap, .sa_flags = SA_SIGINFO | SA_RESTART };

	if (sigaction(SIGTRAP, &action, NULL))
		record_die("sigaction");
}

/* Have each overflow of an event deliver a signal, which says what it was. */
static void ask_for_signals(const struct counter *counter)
{
	struct sigaction action = { .sa_sigaction = note_signal, .sa_flags = SA_SIGINFO | SA_RESTART };

	if (sigaction(SIGRTMIN, &action, NULL) ||
	    fcntl(counter->fd, F_SETOWN, getpid()) ||
	    fcntl(counter->fd, F_SETSIG, SIGRTMIN) ||
	    fcntl(counter->fd, F_SETFL, O_ASYNC))
		record_die("fcntl of an event");
}

static void record_signals(void)
{
	for (int i = 0; i < script->events_number; i++)
		if (script->events[i].signals || script->events[i].attr.sigtrap)
			record("{\"kind\":\"signals\",\"id\":%" PRIu64 ",\"in\":%" PRIu64
			       ",\"hup\":%" PRIu64 "}",
			       counters[i].id, signals[i].in, signals[i].hup);
}

/* A read between two looks at the page. */
static void record_page(const struct counter *counter)
{
	struct page_times before = page_times(counter), after;
	struct group_values values;

	if (!read_group_if_any(counter, &values))
		return;
	after = page_times(counter);
	record("{\"kind\":\"page\",\"id\":%" PRIu64 ",\"time\":%" PRIu64 ",\"phase\":%d,"
	       "\"index\":[%" PRIu64 ",%" PRIu64 "],\"enabled\":[%" PRIu64 ",%" PRIu64 ",%" PRIu64
	       "],\"running\":[%" PRIu64 ",%" PRIu64 ",%" PRIu64 "]}",
	       counter->id, monotonic_ns(), phase, before.index, after.index,
	       before.enabled, values.enabled, after.enabled,
	       before.running, values.running, after.running);
}

static void record_read(const struct counter *leader)
{
	struct group_values values;
	char counts[1024], lost[1024] = "";

	if (!read_group_if_any(leader, &values)) {
		record("{\"kind\":\"end-of-file\",\"id\":%" PRIu64 ",\"time\":%" PRIu64
		       ",\"phase\":%d}", leader->id, monotonic_ns(), phase);
		return;
	}
	record("{\"kind\":\"read\",\"id\":%" PRIu64 ",\"time\":%" PRIu64 ",\"phase\":%d,"
	       "\"enabled\":%" PRIu64 ",\"running\":%" PRIu64 ",\"counts\":[%s],\"lost\":[%s]}",
	       leader->id, monotonic_ns(), phase, values.enabled, values.running,
	       group_json(&values, counts, sizeof(counts)),
	       leader->attr.read_format & PERF_FORMAT_LOST ?
	       lost_json(&values, lost, sizeof(lost)) : "");
}

static void read_all(void)
{
	for (int i = 0; i < script->events_number; i++) {
		if (leads(i))
			record_read(&counters[i]);
		if (script->events[i].paged && counters[i].page)
			record_page(&counters[i]);
	}
	next_read = monotonic_ns() + READ_INTERVAL_NS;
}

static void watch(void)
{
	for (int i = 0; i < script->events_number; i++)
		if (script->events[i].watched && counters[i].page)
			watch_index(&counters[i], phase);
	if (!script->quiet && monotonic_ns() >= next_read)
		read_all();
}

/* --- tasks ---------------------------------------------------------------- */

static void *thread_main(void *task)
{
	perform(task, 0);
	return NULL;
}

static void start_process(int number, bool waits)
{
	int ends[2];

	if (pipe(ends))
		record_die("pipe");
	running[number].pid = fork();
	if (running[number].pid < 0)
		record_die("fork");
	if (running[number].pid) {
		close(ends[0]);
		running[number].start = ends[1];
		return;
	}
	close(ends[1]);
	if (waits) {
		char byte;

		if (read(ends[0], &byte, 1) < 0)
			record_die("read of a start pipe");
	}
	close(ends[0]);
	perform(&script->tasks[number], 0);
	_exit(0);
}

static void run_task(int number)
{
	if (write(running[number].start, "", 1) != 1)
		record_die("write to a start pipe");
}

static void wait_for(int number)
{
	int status = 0;

	if (!running[number].pid)
		pthread_join(running[number].thread, NULL);
	else if (waitpid(running[number].pid, &status, 0) < 0)
		record_die("waitpid");
	errno = 0;
	if (WIFSIGNALED(status) && !running[number].killed)
		record_die("a task was ended by a signal");
	if (WIFEXITED(status) && WEXITSTATUS(status))
		record_die("a task ended with an error");
}

/* Fork, before any event is there, the tasks that events name. */
static void start_named_tasks(void)
{
	for (int i = 0; i < script->events_number; i++) {
		const char *task = script->events[i].task;
		int number = task && strcmp(task, "self") ? find_task(task) : 0;

		if (number && !running[number].pid)
			start_process(number, true);
	}
}

/* exec(2), and go on with the step behind it. */
static void exec_again(const struct task_spec *task, int next)
{
	char from[16];

	snprintf(from, sizeof(from), "%d", next);
	execl(SELF, SELF, task->name, from, NULL);
	record_die("exec");
}

/* --- events --------------------------------------------------------------- */

static struct scope scope_of(const struct event_spec *spec)
{
	struct scope scope = {
		.pid = -1, .cpu = spec->cpu, .cgroup = -1, .flags = spec->flags,
		.task = spec->task ? spec->task : "",
		.cgroup_name = spec->cgroup ? spec->cgroup : "",
	};

	if (spec->task)
		scope.pid = strcmp(spec->task, "self") ? running[find_task(spec->task)].pid : 0;
	if (spec->cgroup)
		scope.cgroup = open_cgroup(spec->cgroup);
	return scope;
}

static void refuse(int number, int error)
{
	const struct event_spec *spec = &script->events[number];
	char what[128];

	counters[number].refused = true;
	if (!spec->may_be_refused) {
		record("{\"kind\":\"refused\",\"name\":\"%s\",\"errno\":%d,\"text\":\"%s\"}",
		       spec->name, error, strerror(error));
		exit(0);
	}
	snprintf(what, sizeof(what), "open %s", spec->name);
	record_answer(what, error);
}

static void open_event(int number)
{
	struct event_spec *spec = &script->events[number];
	struct counter *counter = &counters[number];
	struct scope scope = scope_of(spec);
	const struct counter *leader = spec->leader ? &counters[find_event(spec->leader)] : NULL;

	if (leader && leader->refused) {
		counter->refused = true;
		return;
	}
	if (leader && leader->fd < 0)
		record_die("script: a leader that is not open");
	if (spec->attr.sigtrap) {
		spec->attr.sig_data = number;
		expect_traps();
	}
	if (!open_counter(counter, spec->name, &spec->attr, &scope, leader)) {
		refuse(number, errno);
		return;
	}
	if (spec->may_be_refused) {
		char what[128];

		snprintf(what, sizeof(what), "open %s", spec->name);
		record_answer(what, 0);
	}
	if (scope.cgroup >= 0)
		close(scope.cgroup);
	if (has_ring(&spec->attr))
		map_counter(counter, spec->ring ? spec->ring : RING_PAGES);
	else if (spec->watched || spec->paged)
		map_counter(counter, 0);
	if (spec->aux)
		map_aux(counter, spec->aux, spec->overwrite);
	if (spec->signals)
		ask_for_signals(counter);
}

/* --- steps ---------------------------------------------------------------- */

static void spin_for(uint64_t ns, bool watching)
{
	uint64_t end = monotonic_ns() + ns;

	while (monotonic_ns() < end) {
		spin(SPIN_ITERATIONS);
		if (watching)
			watch();
	}
}

/* No watching here: it would be time in user space. */
static void kernel_for(uint64_t ns)
{
	uint64_t end = monotonic_ns() + ns;

	while (monotonic_ns() < end)
		spend_in_kernel(RANDOM_BYTES);
}

/* Do what an event counts, a known number of times, between two reads. */
static void measure(const char *what, const char *event, uint64_t number)
{
	struct counter *leader = &counters[find_event(event)];
	struct group_values before, after;
	uint64_t instructions = 0;
	char was[1024], is[1024];

	if (leader->refused)
		return;
	before = read_group(leader);
	if (!strcmp(what, "loop"))
		instructions = spin_enabled(leader->fd, number);
	else if (!strcmp(what, "faults"))
		fault_pages(number);
	else if (!strcmp(what, "kernel-faults"))
		fault_pages_in_kernel(number);
	else if (!strcmp(what, "syscalls"))
		call_kernel(number);
	else
		touch_variable(strcmp(what, "touches") ? SECOND_VARIABLE : FIRST_VARIABLE, number);
	after = read_group(leader);
	record("{\"kind\":\"work\",\"what\":\"%s\",\"id\":%" PRIu64 ",\"times\":%" PRIu64
	       ",\"instructions\":%" PRIu64 ",\"time\":%" PRIu64 ",\"before\":[%s],\"after\":[%s]}",
	       what, leader->id, number, instructions, monotonic_ns(),
	       group_json(&before, was, sizeof(was)), group_json(&after, is, sizeof(is)));
}

/* Ask for a counter again and again, until the event has one or the time is over. */
static void compete(const struct counter *counter, uint64_t ns)
{
	uint64_t end = monotonic_ns() + ns, running = read_group(counter).running;

	while (monotonic_ns() < end) {
		control_counter(counter, PERF_EVENT_IOC_ENABLE, 0);
		if (read_group(counter).running > running)
			return;
		control_counter(counter, PERF_EVENT_IOC_DISABLE, 0);
		spin(SPIN_ITERATIONS);
	}
}

static const struct {
	const char *verb;
	unsigned long request, argument;
} requests[] = {
	{ "enable", PERF_EVENT_IOC_ENABLE, 0 },
	{ "disable", PERF_EVENT_IOC_DISABLE, 0 },
	{ "enable-group", PERF_EVENT_IOC_ENABLE, PERF_IOC_FLAG_GROUP },
	{ "disable-group", PERF_EVENT_IOC_DISABLE, PERF_IOC_FLAG_GROUP },
	{ "reset", PERF_EVENT_IOC_RESET, 0 },
	{ "reset-group", PERF_EVENT_IOC_RESET, PERF_IOC_FLAG_GROUP },
	{ "refresh", PERF_EVENT_IOC_REFRESH, 0 },
	{ "period", PERF_EVENT_IOC_PERIOD, 0 },
	{ "pause", PERF_EVENT_IOC_PAUSE_OUTPUT, 1 },
	{ "resume", PERF_EVENT_IOC_PAUSE_OUTPUT, 0 },
};

/* Have a breakpoint watch the first variable, or the second. */
static bool place_breakpoint(const struct counter *counter, const char *where)
{
	struct perf_event_attr attr = counter->attr;
	int variable = strcmp(where, "first") ? SECOND_VARIABLE : FIRST_VARIABLE;

	attr.bp_addr = (uintptr_t)&watched_variables[variable];
	return try_control(counter, PERF_EVENT_IOC_MODIFY_ATTRIBUTES, (uintptr_t)&attr);
}

/* Have a tracepoint event count all of its kind, or none; another expression is what it is. */
static bool filter(const struct counter *counter, const char *which)
{
	const char *expression = which;

	if (!strcmp(which, "all"))
		expression = "common_pid > 0";
	else if (!strcmp(which, "none"))
		expression = "common_pid == 0";
	return try_control(counter, PERF_EVENT_IOC_SET_FILTER, (uintptr_t)expression);
}

/* An ioctl on an event: the one that the step says. */
static void control(const struct step *step, const struct counter *counter)
{
	uint64_t number = strtoull(step->words[2], NULL, 0);

	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		unsigned long request = requests[i].request, argument = requests[i].argument;

		if (strcmp(step->words[0], requests[i].verb))
			continue;
		if (request == PERF_EVENT_IOC_REFRESH)
			argument = number;
		else if (request == PERF_EVENT_IOC_PERIOD)
			argument = (uintptr_t)&number;
		if (step->may_be_refused)
			answer_step(step, try_control(counter, request, argument) ? 0 : errno);
		else
			control_counter(counter, request, argument);
		return;
	}
	record_die("script: unknown step");
}

static void redirect(const struct step *step, const struct counter *counter)
{
	const char *to = step->words[2];
	bool done = redirect_output(counter,
				    strcmp(to, "none") ? &counters[find_event(to)] : NULL);

	if (step->may_be_refused)
		answer_step(step, done ? 0 : errno);
	else if (!done)
		record_die("PERF_EVENT_IOC_SET_OUTPUT");
}

static void record_poll(const struct counter *counter)
{
	struct pollfd asked = { .fd = counter->fd, .events = POLLIN };

	if (poll(&asked, 1, 0) < 0)
		record_die("poll of an event");
	record("{\"kind\":\"poll\",\"id\":%" PRIu64 ",\"revents\":%d,\"time\":%" PRIu64 "}",
	       counter->id, asked.revents, monotonic_ns());
}

static bool owns_ring(const struct counter *counter)
{
	return counter->fd >= 0 && counter->page && has_ring(&counter->attr);
}

/* What is in a ring by now is lost with its mapping: it is read before. */
static void leave_ring(struct counter *counter)
{
	if (!owns_ring(counter))
		return;
	drain_ring(counter);
	unmap_counter(counter);
}

/* A step that asks for what the kernel may refuse. */
static bool asking_step(const struct step *step, const struct counter *counter)
{
	size_t number = strtoull(step->words[2], NULL, 0);
	bool done;

	if (!strcmp(step->words[0], "map"))
		done = try_map(counter, number);
	else if (!strcmp(step->words[0], "fetch"))
		done = try_read(counter, number);
	else if (!strcmp(step->words[0], "filter"))
		done = filter(counter, step->words[2]);
	else if (!strcmp(step->words[0], "place"))
		done = place_breakpoint(counter, step->words[2]);
	else
		return false;
	if (step->may_be_refused)
		answer_step(step, done ? 0 : errno);
	else if (!done)
		record_die(step->words[0]);
	return true;
}

static bool ring_step(const struct step *step, struct counter *counter)
{
	const char *verb = step->words[0];

	if (!strcmp(verb, "drain"))
		drain_ring(counter);
	else if (!strcmp(verb, "poll"))
		record_poll(counter);
	else if (!strcmp(verb, "unmap"))
		leave_ring(counter);
	else
		return false;
	return true;
}

/* A step on an event; one that was refused has none. */
static void event_step(const struct step *step)
{
	const char *verb = step->words[0];
	int number = find_event(step->words[1]);
	struct counter *counter = &counters[number];

	if (!strcmp(verb, "open"))
		open_event(number);
	else if (counter->refused)
		return;
	else if (!strcmp(verb, "output"))
		redirect(step, counter);
	else if (!strcmp(verb, "compete"))
		compete(counter, strtoull(step->words[2], NULL, 0) * 1000000);
	else if (!strcmp(verb, "close"))
		leave_ring(counter), close_counter(counter);
	else if (!ring_step(step, counter) && !asking_step(step, counter))
		control(step, counter);
}

static bool is_one_of(const char *word, const char *const *words)
{
	for (; *words; words++)
		if (!strcmp(word, *words))
			return true;
	return false;
}

static bool work_step(const struct step *step, bool main)
{
	static const char *const measured[] = { "loop", "faults", "kernel-faults",
						"syscalls", "touches", "touches-second",
						NULL };
	const char *const *words = step->words;
	uint64_t number = strtoull(words[1], NULL, 0);

	if (!strcmp(words[0], "user"))
		spin_for(number * 1000000, main);
	else if (!strcmp(words[0], "kernel"))
		kernel_for(number * 1000000);
	else if (!strcmp(words[0], "vm"))
		run_vm(number * 1000000);
	else if (!strcmp(words[0], "random"))
		spend_in_kernel(number);
	else if (!strcmp(words[0], "spin"))
		spin(number);
	else if (!strcmp(words[0], "sleep"))
		usleep(number * 1000);
	else if (!strcmp(words[0], "signals"))
		deliver_signals(number);
	else if (!strcmp(words[0], "cpu"))
		move_to_cpu(number);
	else if (!strcmp(words[0], "offline") || !strcmp(words[0], "online"))
		set_online(number, !strcmp(words[0], "online"));
	else if (!strcmp(words[0], "join"))
		join_cgroup(words[1]);
	else if (!strcmp(words[0], "enable-all") || !strcmp(words[0], "disable-all"))
		switch_own_events(!strcmp(words[0], "enable-all"));
	else if (is_one_of(words[0], measured))
		measure(words[0], words[1], strtoull(words[2], NULL, 0));
	else
		return false;
	return true;
}

static bool task_step(const struct step *step)
{
	const char *verb = step->words[0];
	int number;

	if (!strcmp(verb, "fork"))
		start_process(find_task(step->words[1]), false);
	else if (!strcmp(verb, "run"))
		run_task(find_task(step->words[1]));
	else if (!strcmp(verb, "wait"))
		wait_for(find_task(step->words[1]));
	else if (!strcmp(verb, "kill")) {
		number = find_task(step->words[1]);
		running[number].killed = true;
		kill(running[number].pid, SIGKILL);
	} else if (!strcmp(verb, "thread")) {
		number = find_task(step->words[1]);
		if (pthread_create(&running[number].thread, NULL, thread_main,
				   &script->tasks[number]))
			record_die("pthread_create");
	} else {
		return false;
	}
	return true;
}

/* Announce a step, with the task's name and all its words. */
static void record_phase(const struct task_spec *task, const struct step *step)
{
	char text[STEP_TEXT];

	record("{\"kind\":\"phase\",\"phase\":%d,\"task\":\"%s\",\"name\":\"%s\","
	       "\"time\":%" PRIu64 "}", phase, task->name, step_text(step, text), monotonic_ns());
}

/* Whose the numbers in the kernel's own records are. */
static void record_task(const struct task_spec *task)
{
	record("{\"kind\":\"task\",\"name\":\"%s\",\"tid\":%ld,\"time\":%" PRIu64 "}",
	       task->name, syscall(SYS_gettid), monotonic_ns());
}

static void perform(const struct task_spec *task, int from)
{
	bool main = task == &script->tasks[0];

	if (!from)
		record_task(task);
	for (int i = from; i < task->number; i++) {
		const struct step *step = &task->steps[i];

		record_phase(task, step);
		if (!strcmp(step->words[0], "exec"))
			exec_again(task, i + 1);
		if (!strcmp(step->words[0], "read")) {
			read_all();
			phase++;
			continue;
		}
		if (!work_step(step, main) && !task_step(step) && !pmu_step(step))
			event_step(step);
		if (main) {
			watch();
			if (!script->quiet)
				read_all();
			phase++;
		}
	}
}

int main(int argc, char **argv)
{
	record_open();
	script = read_script(SCENARIO);
	if (argc == 3) {
		perform(&script->tasks[find_task(argv[1])], atoi(argv[2]));
		return 0;
	}
	record_clock();
	start_named_tasks();
	for (int i = 0; i < script->events_number; i++) {
		counters[i].fd = -1;
		if (!script->events[i].late)
			open_event(i);
	}
	read_all();
	perform(&script->tasks[0], 0);
	if (script->quiet)
		read_all();
	record_signals();
	for (int i = 0; i < script->events_number; i++)
		if (owns_ring(&counters[i]))
			drain_ring(&counters[i]);
	return 0;
}
