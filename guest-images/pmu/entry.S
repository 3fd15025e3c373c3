/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Windows in which counters are on, and what happens in them: each instruction
 * here is counted by hand in counts.h.
 */
#include "layout.h"

	.text
	.altmacro

	.macro	saved what
	\what	%rbx
	\what	%rbp
	\what	%r12
	\what	%r13
	\what	%r14
	\what	%r15
	.endm

	.macro	restored
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	.endm

/* Registers of a window: the code, and what its end writes to which MSR. */
	.macro	load_window
	movq	WINDOW_CODE(%rdi), %r12
	movl	WINDOW_OFF_MSR(%rdi), %r13d
	movl	WINDOW_OFF(%rdi), %r14d
	movl	WINDOW_OFF + 4(%rdi), %r15d
	movq	WINDOW_ARG2(%rdi), %rsi
	movl	WINDOW_ON_MSR(%rdi), %ecx
	movl	WINDOW_ON(%rdi), %eax
	movl	WINDOW_ON + 4(%rdi), %edx
	movq	WINDOW_ARG(%rdi), %rdi
	.endm

/* void run_kernel(const struct window *): the window's code at level 0. */
	.globl	run_kernel
run_kernel:
	saved	pushq
	pushq	WINDOW_FLAGS(%rdi)
	load_window
	popfq
	wrmsr
	call	*%r12
	movl	%r13d, %ecx
	movl	%r14d, %eax
	movl	%r15d, %edx
	wrmsr
	pushq	$2
	popfq
	restored
	ret

/* void run_user(const struct window *): the window's code at level 3. */
	.globl	run_user
run_user:
	saved	pushq
	movq	%rsp, %gs:CPU_RSP
	pushq	$USER_SS
	pushq	WINDOW_STACK(%rdi)
	pushq	WINDOW_FLAGS(%rdi)
	pushq	$USER_CS
	pushq	$in_user_space
	load_window
	wrmsr
	iretq
	.globl	in_user_space
in_user_space:
	call	*%r12
	movl	$1, %eax
	syscall

/* LSTAR: EAX is 0 for a system call that does nothing; else user space ends. */
	.globl	system_call
system_call:
	testl	%eax, %eax
	jnz	1f
	sysretq
1:	movl	%r13d, %ecx
	movl	%r14d, %eax
	movl	%r15d, %edx
	wrmsr
	movq	%gs:CPU_RSP, %rsp
	pushq	$2
	popfq
	restored
	ret

	.globl	fast_system_call
fast_system_call:			/* SYSENTER */
	sysexitq

/* Exceptions that windows provoke; how long each is, counts.h says. */
	.globl	on_int, on_skip2, on_skip2_error, on_page, on_device, on_breakpoint
on_int:
	iretq

on_skip2:
	addq	$2, (%rsp)
	iretq

on_skip2_error:
	addq	$8, %rsp
	addq	$2, (%rsp)
	iretq

on_page:
	pushq	%rax
	movq	%gs:CPU_PAGE, %rax
	orq	$1, (%rax)
	popq	%rax
	addq	$8, %rsp
	iretq

on_device:
	clts
	iretq

on_breakpoint:				/* EFLAGS.RF */
	orl	$0x10000, 16(%rsp)
	iretq

/* An instruction traced: note where it led to, unless that is where it was. */
	.globl	on_step
on_step:
	pushq	%rax
	pushq	%rcx
	movq	%gs:CPU_STEPS, %rax
	movq	16(%rsp), %rcx
	cmpq	%rcx, %gs:CPU_STEP_RIP - 8(, %rax, 8)
	je	1f
	cmpq	$STEP_MAX, %rax
	jae	1f
	movq	%rcx, %gs:CPU_STEP_RIP(, %rax, 8)
	incq	%gs:CPU_STEPS
1:	popq	%rcx
	popq	%rax
	iretq

	.globl	on_timer, on_wake
on_timer:
	incq	%gs:CPU_TIMERS
	addr32 movl $0, APIC + APIC_EOI
	iretq

on_wake:
	addr32 movl $0, APIC + APIC_EOI
	iretq

/* A counter overflowed: where, and how far is it now? */
	.macro	note_overflow
	pushq	%rax
	pushq	%rcx
	pushq	%rdx
	movq	%gs:CPU_PMI_INDEX, %rcx
	rdpmc
	shlq	$32, %rdx
	orq	%rax, %rdx
	movq	%gs:CPU_PMIS, %rax
	cmpq	$PMI_MAX, %rax
	jae	1f
	movq	%rdx, %gs:CPU_PMI_COUNT(, %rax, 8)
	movq	24(%rsp), %rcx
	movq	%rcx, %gs:CPU_PMI_RIP(, %rax, 8)
1:	incq	%gs:CPU_PMIS
	movq	%gs:CPU_PMI_MSR, %rcx
	testl	%ecx, %ecx
	jz	2f
	movl	%gs:CPU_PMI_VALUE, %eax
	movl	%gs:CPU_PMI_VALUE + 4, %edx
	wrmsr
2:	movl	%gs:CPU_PMI_LVTPC, %eax
	testl	%eax, %eax
	jz	3f
	addr32 movl %eax, APIC + APIC_LVTPC
3:	popq	%rdx
	popq	%rcx
	.endm

	.globl	on_pmi, on_nmi
on_pmi:
	note_overflow
	popq	%rax
	addr32 movl $0, APIC + APIC_EOI
	iretq

on_nmi:
	note_overflow
	popq	%rax
	iretq

/* Any exception: to where the test wants to go on, or the end. */
	.macro	exception vector error
	.balign	16
	.if	!\error
	pushq	$0
	.endif
	pushq	$\vector
	jmp	any_exception
	.endm

	.balign	16
	.globl	exceptions
exceptions:
	.set	number, 0
	.rept	32
	.if	number == 8 || (number >= 10 && number <= 14) || number == 17
	exception %number, 1
	.else
	exception %number, 0
	.endif
	.set	number, number + 1
	.endr

any_exception:
	cmpq	$0, %gs:CPU_RESUME
	je	1f
	popq	%gs:CPU_FAULT
	addq	$8, %rsp
	pushq	%gs:CPU_RESUME
	popq	(%rsp)
	movq	$0, %gs:CPU_RESUME
	iretq
1:	popq	%rdi
	popq	%rsi
	movq	(%rsp), %rdx
	movq	8(%rsp), %rcx
	movq	%cr2, %r8
	andq	$-16, %rsp
	call	unexpected

/*
 * Begin and end of a function that tries an instruction on the register that its first
 * argument names; it returns the vector of the exception that it met, or -1.
 */
	.macro	guarded name
	.globl	\name
\name:
	movq	$-1, %gs:CPU_FAULT
	leaq	1f(%rip), %rax
	movq	%rax, %gs:CPU_RESUME
	movl	%edi, %ecx
	.endm

	.macro	guarded_end
1:	movq	$0, %gs:CPU_RESUME
	movq	%gs:CPU_FAULT, %rax
	ret
	.endm

	.macro	guarded_read name instruction
	guarded	\name
	\instruction
	shlq	$32, %rdx
	orq	%rax, %rdx
	movq	%rdx, (%rsi)
	guarded_end
	.endm

/* long write_msr(u32 msr, u64 value) */
	guarded	write_msr
	movl	%esi, %eax
	movq	%rsi, %rdx
	shrq	$32, %rdx
	wrmsr
	guarded_end

/* long read_msr(u32 msr, u64 *value) */
	guarded_read	read_msr rdmsr

/* long read_pmc(u32 index, u64 *value) */
	guarded_read	read_pmc rdpmc
