/* The switch for x86-64, System V ABI.
 *
 * What is saved is what a called function must preserve: rbx, rbp, r12-r15, the control half of
 * MXCSR and the x87 control word (rounding and exception masks belong to the function, as the ABI
 * says).  The red zone needs no care: a switch is a call, and nothing lives below rsp across one.
 * A switch out of a signal handler is the same call; the rest of the interrupted registers lies in
 * the signal frame, which the kernel restores when the handler returns.
 *
 * A saved context is a stack pointer to:
 *
 *   +0x00  MXCSR (4 bytes), x87 control word (2), padding (2)
 *   +0x08  r15
 *   +0x10  r14
 *   +0x18  r13
 *   +0x20  r12
 *   +0x28  rbx
 *   +0x30  rbp
 *   +0x38  return address
 */
        .text

/* void lpf__switch(void **save [rdi], void *to [rsi]) */
        .globl  lpf__switch
        .hidden lpf__switch
        .type   lpf__switch, @function
        .p2align 4
lpf__switch:
        .cfi_startproc
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        pushq   %rbx
        .cfi_adjust_cfa_offset 8
        pushq   %r12
        .cfi_adjust_cfa_offset 8
        pushq   %r13
        .cfi_adjust_cfa_offset 8
        pushq   %r14
        .cfi_adjust_cfa_offset 8
        pushq   %r15
        .cfi_adjust_cfa_offset 8
        subq    $8, %rsp
        .cfi_adjust_cfa_offset 8
        stmxcsr (%rsp)
        fnstcw  4(%rsp)

        movq    %rsp, (%rdi)
        movq    %rsp, %rdx
        movq    %rsi, %rsp

        /* Loading a control word costs more than all the rest; they are nearly always the same. */
        movl    (%rsp), %eax
        cmpl    (%rdx), %eax
        jne     1f
        movw    4(%rsp), %ax
        cmpw    4(%rdx), %ax
        .cfi_remember_state
        jne     1f
2:      addq    $8, %rsp
        .cfi_adjust_cfa_offset -8
        popq    %r15
        .cfi_adjust_cfa_offset -8
        popq    %r14
        .cfi_adjust_cfa_offset -8
        popq    %r13
        .cfi_adjust_cfa_offset -8
        popq    %r12
        .cfi_adjust_cfa_offset -8
        popq    %rbx
        .cfi_adjust_cfa_offset -8
        popq    %rbp
        .cfi_adjust_cfa_offset -8
        /* Not ret: the return-stack predictor still expects the caller on the old stack. */
        popq    %rcx
        .cfi_adjust_cfa_offset -8
        .cfi_register rip, rcx
        jmpq    *%rcx
        .cfi_restore_state
1:      ldmxcsr (%rsp)
        fldcw   4(%rsp)
        jmp     2b
        .cfi_endproc
        .size   lpf__switch, .-lpf__switch

/* void *lpf__make_context(void *top [rdi], void (*start)(void *) [rsi], void *argument [rdx]) */
        .globl  lpf__make_context
        .hidden lpf__make_context
        .type   lpf__make_context, @function
        .p2align 4
lpf__make_context:
        .cfi_startproc
        leaq    -0x48(%rdi), %rax       /* 0x40 saved bytes; begin's own frame starts aligned. */
        leaq    begin(%rip), %rcx
        movq    %rcx, 0x38(%rax)
        movq    $0, 0x30(%rax)          /* rbp: the end of the chain of frame pointers. */
        movq    $0, 0x28(%rax)
        movq    %rsi, 0x20(%rax)        /* r12 = start */
        movq    %rdx, 0x18(%rax)        /* r13 = argument */
        movq    $0, 0x10(%rax)
        movq    $0, 0x08(%rax)
        stmxcsr 0x00(%rax)
        fnstcw  0x04(%rax)
        movq    $0, 0x40(%rax)
        ret
        .cfi_endproc
        .size   lpf__make_context, .-lpf__make_context

/* The first thing on a new stack.  Unwinders stop here: there is no return address. */
        .type   begin, @function
        .p2align 4
begin:
        .cfi_startproc
        .cfi_undefined rip
        movq    %r13, %rdi
        andq    $-16, %rsp
        callq   *%r12
        ud2
        .cfi_endproc
        .size   begin, .-begin

        .section .note.GNU-stack, "", @progbits
