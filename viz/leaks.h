/* leaks.h: what a program that draws text keeps until it ends. Fontconfig holds a few hundred bytes for the life of the process, and so does
 * D-Bus, which SDL asks about the desktop: the leak checker is told so, and not to speak of it, since tests count the lines of an error.
 * Included by the one file of a program that includes cairo. */
#ifndef MOE_VIZ_LEAKS_H
#define MOE_VIZ_LEAKS_H

#if defined(__SANITIZE_ADDRESS__)
#define LEAK_CHECKER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LEAK_CHECKER
#endif
#endif
#ifdef LEAK_CHECKER
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libfontconfig\nleak:libdbus-1\n"; }
const char *__lsan_default_options(void);
const char *__lsan_default_options(void) { return "print_suppressions=0"; }
#endif

#endif
