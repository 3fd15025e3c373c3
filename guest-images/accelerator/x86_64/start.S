/* SPDX-License-Identifier: GPL-2.0 */
/*
 * From the multiboot loader to C, in the 32-bit protected mode that it leaves
 * (Multiboot Specification 0.6.96, "Machine state"): counters are the same in every mode.
 */
#define MULTIBOOT_MAGIC	0x1badb002
#define MULTIBOOT_FLAGS	0x10000		/* addresses follow: a flat image */

#define KERNEL_CS	0x08
#define KERNEL_DS	0x10

	.section .multiboot, "a"
	.balign 4
header:
	.long	MULTIBOOT_MAGIC, MULTIBOOT_FLAGS
	.long	-(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)
	.long	header, image_start, image_end, bss_end, start

	.text
	.globl	start
start:
	cli
	lgdt	gdt_pointer
	ljmp	$KERNEL_CS, $1f
1:	movl	$KERNEL_DS, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	$stack_end, %esp
	call	probe

	.globl	on_nmi
on_nmi:
	pusha
	call	note_overflow
	popa
	iret

/* Each exception pushes its number; those that have none, an error code of 0 first. */
	.altmacro
	.macro	exception number error
	.balign	16
	.if	!\error
	pushl	$0
	.endif
	pushl	$\number
	jmp	any_exception
	.endm

	.balign	16
	.globl	exceptions
exceptions:
	.set	number, 0
	.rept	32
	.if	number == 8 || (number >= 10 && number <= 14) || number == 17 || number == 21
	exception %number, 1
	.else
	exception %number, 0
	.endif
	.set	number, number + 1
	.endr

/* unexpected(u64 vector, u64 eip) */
any_exception:
	movl	(%esp), %eax
	movl	8(%esp), %edx
	pushl	$0
	pushl	%edx
	pushl	$0
	pushl	%eax
	call	unexpected

	.data
	.balign	8
gdt:
	.quad	0
	.quad	0x00cf9b000000ffff	/* KERNEL_CS */
	.quad	0x00cf93000000ffff	/* KERNEL_DS */
gdt_end:
gdt_pointer:
	.word	gdt_end - gdt - 1
	.long	gdt

	.bss
	.balign	16
	.skip	16384
stack_end:
