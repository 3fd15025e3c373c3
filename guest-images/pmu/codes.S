/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Code with known counts, which counts.c holds.  RDI is a number, RSI an area of
 * the CPU's own: three pages, the second of which may be absent.  R12 to R15
 * stay as they are.
 */
#include "layout.h"

	.text

	.macro	code name
	.balign	16
	.globl	code_\name
code_\name:
	.endm

	code	nops
	.rept	10
	nop
	.endr
	ret

	code	loop
	movq	%rdi, %rcx
	.globl	code_loop_first
code_loop_first:
	decq	%rcx
	jnz	code_loop_first
	ret

	code	loop_instruction
	movq	%rdi, %rcx
1:	loop	1b
	ret

	code	conditional
	xorl	%eax, %eax
	jz	1f
	nop
1:	jnz	2f
	.byte	0x0f, 0x84		/* jz, near, to what follows */
	.long	0
2:	stc
	jc	3f
3:	jnc	4f
4:	js	5f
5:	ret

	code	jumps
	jmp	1f
1:	.byte	0xe9			/* jmp, near, to what follows */
	.long	0
	leaq	2f(%rip), %rax
	jmp	*%rax
2:	leaq	3f(%rip), %rax
	movq	%rax, (%rsi)
	jmp	*(%rsi)
3:	call	9f
	leaq	9f(%rip), %rax
	call	*%rax
	movq	%rax, (%rsi)
	call	*(%rsi)
	pushq	%rax
	call	8f
	ret
8:	ret	$8
9:	ret

	code	counter_jumps
	xorl	%ecx, %ecx
	jrcxz	1f
	nop
1:	jecxz	2f
	nop
2:	movl	$2, %ecx
	jrcxz	3f
3:	loop	4f
4:	loop	5f
5:	movl	$2, %ecx
	xorl	%eax, %eax
	loope	6f
6:	loopne	7f
7:	movl	$2, %ecx
	loopne	8f
8:	ret

	code	far
	movl	%cs, %eax
	leaq	1f(%rip), %rdx
	movl	%edx, (%rsi)
	movw	%ax, 4(%rsi)
	ljmpl	*(%rsi)
1:	leaq	2f(%rip), %rdx
	pushq	%rax
	pushq	%rdx
	lretq
2:	leaq	3f(%rip), %rdx
	movl	%edx, (%rsi)
	lcalll	*(%rsi)
	movq	%rsp, %rdx
	movl	%ss, %ecx
	pushq	%rcx
	pushq	%rdx
	pushfq
	pushq	%rax
	leaq	4f(%rip), %rcx
	pushq	%rcx
	iretq
3:	lretl
4:	ret

	code	interrupt
	int	$VECTOR_INT
	int3
	ret

	code	system_call
	xorl	%eax, %eax
	syscall
	xorl	%eax, %eax
	syscall
	ret

	code	fast_system_call
	movq	%rsp, %rcx
	leaq	1f(%rip), %rdx
	sysenter
1:	ret

	code	rep_stos
	movq	%rdi, %rcx
	movq	%rsi, %rdi
	rep stosb
	ret

	code	rep_movs
	movq	%rdi, %rcx
	leaq	64(%rsi), %rdi
	rep movsb
	ret

	code	rep_compare
	movq	%rdi, %rcx
	movq	%rsi, %rdi
	movq	%rsi, %rdx
	repe cmpsb
	movq	%rdx, %rdi
	movb	(%rdi), %al
	movl	$5, %ecx
	repne scasb			/* ends at the first */
	xorl	%ecx, %ecx
	rep stosb			/* not once */
	ret

	code	undefined
	nop
	ud2
	nop
	ret

	code	protection
	movabsq	$0x8000000000000000, %rax
	nop
	movb	(%rax), %al
	nop
	ret

	code	divide
	xorl	%ecx, %ecx
	divl	%ecx
	ret

	code	page
	nop
	movq	4096(%rsi), %rax
	nop
	ret

	code	page_rep
	movl	$64, %ecx
	leaq	4096 - 32(%rsi), %rdi
	rep stosb
	ret

	code	page_call
	movq	%rsp, %rdx
	leaq	8192(%rsi), %rsp
	call	1f
	movq	%rdx, %rsp
	ret
1:	ret

	code	page_return
	movq	%rsp, %rdx
	leaq	4096(%rsi), %rsp
	ret
	.globl	code_page_return_target
code_page_return_target:
	movq	%rdx, %rsp
	ret

	code	page_jump
	jmp	*4096(%rsi)
	.globl	code_page_jump_target
code_page_jump_target:
	ret

	code	page_fetch
	leaq	4096 - 2(%rsi), %rax
	jmp	*%rax
	.globl	code_page_fetch_copy
code_page_fetch_copy:			/* this is copied there */
	movl	$0x12345678, %eax
	ret

	code	int_protection
	nop
	int	$VECTOR_NOT
	nop
	ret

	code	far_protection
	movl	%edx, (%rsi)
	movl	$0xfff8, 4(%rsi)
	ljmpl	*(%rsi)
	ret

	code	iret_protection
	movl	%ss, %ecx
	movq	%rsp, %rdx
	pushq	%rcx
	pushq	%rdx
	pushfq
	pushq	$0x7ff8
	pushq	$0
	iretq
	movq	%rdx, %rsp
	ret

	code	self_modifying
	movq	%rdi, %rcx
1:	movb	$0x90, 2f(%rip)
	nop
2:	nop
	decq	%rcx
	jnz	1b
	ret

	code	mmio
	nop
	movl	$APIC + APIC_VERSION, %eax
	movl	(%rax), %edx
	nop
	movl	(%rax), %edx
	movl	(%rax), %edx
	nop
	ret

	code	ports
	inb	$0x80
	nop
	outb	%al, $0x80
	inb	$0x80
	ret

	code	helpers
	xorl	%eax, %eax
	cpuid
	rdtsc
	pause
	mfence
	lfence
	nop
	ret

	code	atomic
	movq	%rdi, %rcx
1:	lock xaddq %rax, 4092(%rsi)
	lock incl (%rsi)
	decq	%rcx
	jnz	1b
	ret

	code	watchpoint
	movq	%rax, 64(%rsi)
	nop
	movq	%rax, 64(%rsi)
	nop
	movq	%rax, 64(%rsi)
	ret

	code	breakpoint
	nop
	.globl	code_breakpoint_here
code_breakpoint_here:
	nop
	nop
	ret

	code	stack_segment
	movl	%ss, %eax
	movl	%eax, %ss
	nop
	nop
	ret

	code	no_device
	nop
	fnop
	nop
	ret

/* 32-bit code, of the level that this is, and back. */
	code	compatibility
	movl	%cs, %eax
	leaq	1f(%rip), %rdx
	movl	%edx, (%rsi)
	movl	$BOOT_CS32, %ecx
	movl	$USER_CS32, %edx
	testb	$3, %al
	cmovnzl	%edx, %ecx
	movw	%cx, 4(%rsi)
	leaq	5f(%rip), %rdx
	movl	%edx, 8(%rsi)
	movw	%ax, 12(%rsi)
	ljmpl	*(%rsi)
	.code32
1:	incl	%ecx
	into				/* no */
	movl	$0x7fffffff, %ecx
	incl	%ecx
	into				/* yes */
	xorl	%ecx, %ecx
	jcxz	2f
	nop
2:	pushal
	popal
	call	3f
	jmp	4f
3:	ret
4:	ljmpl	*8(%esi)
	.code64
5:	ret

	code	enable_interrupts
	sti
	nop
	cli
	ret

	code	halt
	sti
	hlt
	cli
	ret

/* Waits for an overflow, RDI times at most. */
	code	wait
1:	cmpq	$0, %gs:CPU_PMIS
	jne	2f
	decq	%rdi
	jnz	1b
2:	ret

/* Reads a counter twice: user space reads them into RSI's area. */
	code	read_pmc
	movl	%edi, %ecx
	rdpmc
	movl	%eax, (%rsi)
	movl	%edx, 4(%rsi)
	nop
	nop
	rdpmc
	movl	%eax, 8(%rsi)
	movl	%edx, 12(%rsi)
	.globl	code_read_pmc_end
code_read_pmc_end:
	ret

	code	many_reads
	movl	%edi, %ecx
	.rept	2000
	rdpmc
	.endr
	ret

/* The node's clock in RDI, and the TSC, twice. */
	code	clocks
	movl	%edi, %ecx
	rdpmc
	movl	%eax, (%rsi)
	movl	%edx, 4(%rsi)
	rdtsc
	movl	%eax, 8(%rsi)
	movl	%edx, 12(%rsi)
	ret

/* RDI is an MSR, RSI what is written to it: the window's own is the last of the codes. */
	code	rewrite
	.rept	3
	nop
	.endr
	movl	%edi, %ecx
	movl	%esi, %eax
	xorl	%edx, %edx
	wrmsr
	jmp	1f
1:	nop
	ret

/* The same, and 0 before it: off and on again. */
	code	off_and_on
	nop
	movl	%edi, %ecx
	xorl	%eax, %eax
	xorl	%edx, %edx
	wrmsr
	.rept	20
	nop
	.endr
	movl	%esi, %eax
	wrmsr
	nop
	nop
	ret

/* RSI is a VMCB, whose guest runs the next one. */
	code	host
	movq	%rsi, %rax
	clgi
	vmrun	%rax
	stgi
	nop
	ret

	code	guest
	.rept	100
	nop
	.endr
	jmp	1f
1:	vmmcall

/* Some of everything, 300 instructions and more. */
	code	mix
	.rept	30
	nop
	movq	(%rsi), %rax
	addq	$1, %rax
	movq	%rax, (%rsi)
	pushq	%rax
	popq	%rdx
	movl	$3, %ecx
	leaq	16(%rsi), %rdi
	rep stosb
	cmpq	%rax, %rdx
	jne	1f
	jmp	2f
1:	nop
2:	call	3f
	jmp	4f
3:	ret
4:	rdtsc
	.endr
	ret

/* An instruction that lies on two pages. */
	.balign	4096
	.skip	4096 - 8
	.globl	code_two_pages
code_two_pages:
	movq	%rdi, %rcx
1:	movabsq	$0x0123456789abcdef, %rax
	decq	%rcx
	jnz	1b
	ret
