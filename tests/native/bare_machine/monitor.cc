// Runs one static Linux program on a bare x86-64 machine: reads it and its input from the disk, answers the few system calls that
// the C library makes, and writes what it printed back. On the disk, in sectors of 512 bytes: boot.S and this up to kHeader, a
// Header there, the program and then its input behind it, and the Result with the output from Header::result on.
#include <stddef.h>
#include <stdint.h>

namespace {

constexpr uint32_t kHeader = 32;
struct Header {
  uint32_t program_sectors, input_sectors, input_bytes, result;
  char environment[240];  // one variable
};
struct Result {
  uint32_t magic, code, bytes, reserved;
  uint64_t instructions;
};

constexpr uint64_t kStackTop = 0x6000000, kMap = 0x8000000, kFile = 0x10000000, kOutput = 0x14000000, kInput = 0x18000000;
struct State {
  Header header;
  uint8_t rest[256];
  uint64_t map, heap, read, written, started;
};
State& state = *reinterpret_cast<State*>(0x60000);

void out8(uint16_t port, uint8_t v) { asm volatile("outb %0, %1" ::"a"(v), "Nd"(port)); }
uint8_t in8(uint16_t port) {
  uint8_t v;
  asm volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
  return v;
}
uint64_t clock() {
  uint32_t low, high;
  asm volatile("rdtsc" : "=a"(low), "=d"(high));
  return uint64_t{high} << 32 | low;
}
void copy(uint64_t to, uint64_t from, uint64_t n) { asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n)::"memory"); }
void clear(uint64_t to, uint64_t n) { asm volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(0) : "memory"); }

// One sector of the first ATA disk, by programmed input and output.
void transfer(uint32_t sector, uint64_t at, bool write) {
  while (in8(0x1f7) & 0x80) {}
  out8(0x1f2, 1);
  out8(0x1f3, sector & 255);
  out8(0x1f4, sector >> 8 & 255);
  out8(0x1f5, sector >> 16 & 255);
  out8(0x1f6, 0xe0 | (sector >> 24 & 15));
  out8(0x1f7, write ? 0x30 : 0x20);
  while ((in8(0x1f7) & 0x88) != 8) {}
  uint64_t words = 256;
  if (write)
    asm volatile("rep outsw" : "+S"(at), "+c"(words) : "d"(0x1f0) : "memory");
  else
    asm volatile("rep insw" : "+D"(at), "+c"(words) : "d"(0x1f0) : "memory");
}

void transfers(uint32_t sector, uint32_t count, uint64_t at, bool write) {
  for (uint32_t i = 0; i < count; i++) transfer(sector + i, at + 512ull * i, write);
}

[[noreturn]] void finish(uint64_t code) {
  Result& result = *reinterpret_cast<Result*>(kOutput);
  result = Result{0x600dda7a, static_cast<uint32_t>(code), static_cast<uint32_t>(state.written), 0, clock() - state.started};
  transfers(state.header.result, static_cast<uint32_t>((512 + state.written + 511) / 512), kOutput, true);
  out8(0x1f7, 0xe7);  // the disk's cache
  while (in8(0x1f7) & 0x80) {}
  for (;;)
    for (const char* c = "Shutdown"; *c != 0; c++) out8(0x8900, static_cast<uint8_t>(*c));
}

// A page of memory that exists or not: a large page is cut into small ones first.
void protect(uint64_t from, uint64_t size, bool there) {
  for (uint64_t page = from; page < from + size; page += 4096) {
    uint64_t& large = reinterpret_cast<uint64_t*>(0x72000)[page >> 21];
    if (large & 0x80) {
      uint64_t* small = reinterpret_cast<uint64_t*>(0x1c000000 + (page >> 21) * 4096);
      for (uint64_t i = 0; i < 512; i++) small[i] = (large & ~0xfffull) + i * 4096 + 3;
      large = reinterpret_cast<uint64_t>(small) + 3;
    }
    uint64_t& entry = reinterpret_cast<uint64_t*>(large & ~0xfffull)[page >> 12 & 511];
    entry = there ? entry | 1 : entry & ~1ull;
    asm volatile("invlpg (%0)" ::"r"(page) : "memory");
  }
}

struct Segment {
  uint32_t type, flags;
  uint64_t offset, address, physical, file_size, memory_size, alignment;
};

}  // namespace

extern "C" {

[[noreturn]] void enter(uint64_t address, uint64_t stack);

struct Frame {
  uint64_t number, a, b, c;
};

uint64_t answered(const Frame& f) {
  switch (f.number) {
    case 0: {  // read
      const uint64_t left = state.header.input_bytes - state.read, n = f.a != 0 ? 0 : f.c < left ? f.c : left;
      copy(f.b, kInput + state.read, n);
      state.read += n;
      return n;
    }
    case 1:  // write
      copy(kOutput + 512 + state.written, f.b, f.c);
      state.written += f.c;
      return f.c;
    case 9: {  // mmap
      const uint64_t at = state.map;
      state.map += (f.b + 4095) & ~4095ull;
      return at;
    }
    case 10:  // mprotect; of the program's own pages nothing is asked
      if (f.a >= kMap) protect(f.a, f.b, f.c != 0);
      return 0;
    case 11: return 0;  // munmap
    case 12:            // brk
      if (f.a > state.heap) state.heap = f.a;
      return state.heap;
    case 158:  // arch_prctl: the thread's storage
      if (f.a != 0x1002) return -22ull;
      asm volatile("wrmsr" ::"c"(0xc0000100), "a"(static_cast<uint32_t>(f.b)), "d"(static_cast<uint32_t>(f.b >> 32)));
      return 0;
    case 60:
    case 231: finish(f.a);
    default: return -38ull;  // not there
  }
}

void answer(Frame* frame) { frame->number = answered(*frame); }

[[noreturn]] void monitor() {
  transfers(kHeader, 1, reinterpret_cast<uint64_t>(&state.header), false);
  const Header& header = state.header;
  transfers(kHeader + 1, header.program_sectors, kFile, false);
  transfers(kHeader + 1 + header.program_sectors, header.input_sectors, kInput, false);
  state.map = kMap;
  state.read = state.written = state.heap = 0;
  const uint64_t entry = *reinterpret_cast<uint64_t*>(kFile + 24), segments = kFile + *reinterpret_cast<uint64_t*>(kFile + 32);
  const uint64_t count = *reinterpret_cast<uint16_t*>(kFile + 56);
  uint64_t headers = 0;
  for (uint64_t i = 0; i < count; i++) {
    const Segment& s = reinterpret_cast<const Segment*>(segments)[i];
    if (s.type != 1) continue;
    clear(s.address, s.memory_size);
    copy(s.address, kFile + s.offset, s.file_size);
    if (s.offset == 0) headers = s.address + (segments - kFile);
    const uint64_t end = (s.address + s.memory_size + 4095) & ~4095ull;
    if (end > state.heap) state.heap = end;
  }
  uint64_t* stack = reinterpret_cast<uint64_t*>(kStackTop - 4096);
  const uint64_t text = reinterpret_cast<uint64_t>(header.environment);
  // argc, argv, environment, and what the C library asks the kernel for: program headers, page size, 16 random bytes.
  const uint64_t start[] = {1, text, 0, text, 0, 3, headers, 4, 56, 5, count, 6, 4096, 9, entry, 25, text, 23, 0, 0, 0};
  for (uint64_t i = 0; i < sizeof start / 8; i++) stack[i] = start[i];
  state.started = clock();
  enter(entry, reinterpret_cast<uint64_t>(stack));
}
}
