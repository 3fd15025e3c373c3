/* SPDX-License-Identifier: GPL-2.0 */
/* From the multiboot loader, and from an AP's SIPI, to long mode and C. */
#include "layout.h"

#define MULTIBOOT_MAGIC	0x1badb002
#define MULTIBOOT_FLAGS	0x10000		/* addresses follow: a flat image */

#define CR0_BITS	0x80010033	/* PG WP NE ET MP PE */
#define CR4_BITS	0x720		/* OSXMMEXCPT OSFXSR PCE PAE */
#define EFER		0xc0000080
#define EFER_BITS	0x101		/* LME SCE */

	.section .multiboot, "ax"
	.balign 4
header:
	.long	MULTIBOOT_MAGIC, MULTIBOOT_FLAGS
	.long	-(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)
	.long	header, image_start, image_end, bss_end, start

	.code32
	.globl	start
start:
	cli
	movl	%ebx, boot_info
	jmp	to_long_mode

/* An AP in real mode; copied to TRAMPOLINE. */
	.code16
	.globl	ap_start, ap_end
ap_start:
	cli
	xorw	%ax, %ax
	movw	%ax, %ds
	lgdtl	ap_gdt_pointer - ap_start + TRAMPOLINE
	movl	%cr0, %eax
	orl	$1, %eax
	movl	%eax, %cr0
	ljmpl	$BOOT_CS32, $to_long_mode
	.balign	4
ap_gdt_pointer:
	.word	gdt_end - gdt - 1
	.long	gdt
ap_end:

	.code32
to_long_mode:
	lgdt	gdt_pointer
	movl	$KERNEL_SS, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	$CR4_BITS, %eax
	movl	%eax, %cr4
	movl	$pml4, %eax
	movl	%eax, %cr3
	movl	$EFER, %ecx
	rdmsr
	orl	$EFER_BITS, %eax
	wrmsr
	movl	$CR0_BITS, %eax
	movl	%eax, %cr0
	ljmp	$KERNEL_CS, $long_mode

	.code64
long_mode:
	movl	$APIC + APIC_ID, %eax
	movl	(%rax), %edi
	shrl	$24, %edi
	movl	%edi, %eax
	imull	$STACK, %eax
	leaq	stacks + STACK(%rax), %rsp
	xorl	%ebp, %ebp
	testl	%edi, %edi
	jnz	1f
	call	start_bsp
1:	call	start_ap

	.data
	.balign	16
	.globl	gdt
gdt:
	.quad	0
	.quad	0x00af9b000000ffff	/* KERNEL_CS */
	.quad	0x00cf93000000ffff	/* KERNEL_SS */
	.quad	0x00cffb000000ffff	/* USER_CS32 */
	.quad	0x00cff3000000ffff	/* USER_SS */
	.quad	0x00affb000000ffff	/* USER_CS */
	.quad	0x00cff3000000ffff	/* USER_SS2 */
	.quad	0x00cf9b000000ffff	/* BOOT_CS32 */
	.fill	2 * CPUS, 8, 0		/* TSS_SELECTOR */
gdt_end:

gdt_pointer:
	.word	gdt_end - gdt - 1
	.quad	gdt

/* 4 GiB as they are, in pages of 2 MiB, for kernel and user space. */
	.balign	4096
pml4:
	.quad	pdpt + 7
	.fill	511, 8, 0
pdpt:
	.quad	page_directory + 0x0007
	.quad	page_directory + 0x1007
	.quad	page_directory + 0x2007
	.quad	page_directory + 0x3007
	.fill	508, 8, 0
	.globl	page_directory
page_directory:
	.set	address, 0
	.rept	2048
	.quad	address + 0x87
	.set	address, address + 0x200000
	.endr

	.globl	boot_info
boot_info:
	.quad	0

	.bss
	.balign	4096
stacks:
	.skip	CPUS * STACK
