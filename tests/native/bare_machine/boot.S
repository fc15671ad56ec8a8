# From a disk's first sector to 64-bit mode with every vector register the CPU has, then to monitor.cc. One address space, no protection.
.code16
.globl start
start:
  cli
  xorw %ax, %ax
  movw %ax, %ds
  movw %ax, %es
  movw %ax, %ss
  movw $0x7c00, %sp
  movw $packet, %si
  movb $0x42, %ah
  int $0x13                 # the sectors behind this one
  inb $0x92, %al
  orb $2, %al
  outb %al, $0x92           # addresses above 1 MB
  lgdt descriptors
  movl %cr0, %eax
  orl $1, %eax
  movl %eax, %cr0
  ljmp $0x18, $protected
.code32
protected:
  movw $0x10, %ax
  movw %ax, %ds
  movw %ax, %es
  movw %ax, %ss
  # 1 GB as it is, in pages of 2 MB
  movl $0x70000, %edi
  xorl %eax, %eax
  movl $0xc00, %ecx
  rep stosl
  movl $0x71003, 0x70000
  movl $0x72003, 0x71000
  movl $0x72000, %edi
  movl $0x83, %eax
1:
  movl %eax, (%edi)
  addl $0x200000, %eax
  addl $8, %edi
  cmpl $0x73000, %edi
  jne 1b
  movl $0x70000, %eax
  movl %eax, %cr3
  movl $0x40620, %eax       # PAE, SSE, XSAVE
  movl %eax, %cr4
  movl $0xc0000080, %ecx
  rdmsr
  orl $0x101, %eax          # long mode, syscall
  wrmsr
  movl %cr0, %eax
  andl $~4, %eax
  orl $0x80000022, %eax
  movl %eax, %cr0
  ljmp $8, $long_mode
.code64
long_mode:
  movl $0xd, %eax
  xorl %ecx, %ecx
  cpuid
  andl $0xe7, %eax          # x87, SSE, AVX, AVX-512
  xorl %edx, %edx
  xorl %ecx, %ecx
  xsetbv
  movl $0xc0000081, %ecx    # STAR: syscall stays in this segment
  movl $0x80000, %edx
  xorl %eax, %eax
  wrmsr
  movl $0xc0000082, %ecx    # LSTAR
  movl $system_call, %eax
  xorl %edx, %edx
  wrmsr
  movq $0x6f000, %rsp
  jmp monitor

# The program's stack is used, below its red zone.
system_call:
  leaq -128(%rsp), %rsp
  pushq %rcx
  pushq %r11
  pushq %rbp
  pushq %r9
  pushq %r8
  pushq %r10
  pushq %rdx
  pushq %rsi
  pushq %rdi
  pushq %rax
  movq %rsp, %rdi
  movq %rsp, %rbp
  andq $-16, %rsp
  call answer
  movq %rbp, %rsp
  addq $8, %rsp
  popq %rdi
  popq %rsi
  popq %rdx
  popq %r10
  popq %r8
  popq %r9
  popq %rbp
  popq %r11
  popq %rcx
  leaq 128(%rsp), %rsp
  jmp *%rcx

.globl enter
enter:                      # enter(address, stack)
  movq %rsi, %rsp
  xorl %edx, %edx
  jmp *%rdi

.balign 8
table:
  .quad 0, 0x00af9a000000ffff, 0x00cf92000000ffff, 0x00cf9a000000ffff
descriptors:
  .word 31
  .long table
packet:
  .byte 16, 0
  .word 31, 0x7e00, 0
  .quad 1
. = start + 510
  .word 0xaa55
