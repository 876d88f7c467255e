/*
 * diff: see diff.h. The only file of jaga that includes git2.h. libgit2 is given two buffers and
 * calls back with pieces; they are put together in one growing text, because its own printing adds
 * headers of a repository that patch(1) would look for.
 */
#include "collector/cli/diff.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <git2.h>

static int append(struct diff *diff, const char *bytes, size_t length)
{
	char *grown = realloc(diff->text, diff->length + length + 1);

	if (!grown)
		return -ENOMEM;
	memcpy(grown + diff->length, bytes, length);
	diff->text = grown;
	diff->length += length;
	diff->text[diff->length] = '\0';
	return 0;
}

static int on_piece(const git_diff_delta *delta, const git_diff_hunk *hunk, const git_diff_line *line, void *arg)
{
	struct diff *diff = arg;
	char origin = line->origin;
	int r = 0;

	(void)delta;
	(void)hunk;
	if (origin == GIT_DIFF_LINE_FILE_HDR)
		return 0;
	diff->n_added += origin == GIT_DIFF_LINE_ADDITION;
	diff->n_removed += origin == GIT_DIFF_LINE_DELETION;
	if (origin == GIT_DIFF_LINE_CONTEXT || origin == GIT_DIFF_LINE_ADDITION || origin == GIT_DIFF_LINE_DELETION)
		r = append(diff, &origin, 1);
	return r < 0 ? r : append(diff, line->content, line->content_len);
}

int diff_make(const char *old_text, size_t old_length, const char *new_text, size_t new_length, struct diff *ret_diff)
{
	git_diff_options options;
	struct diff diff = { 0 };
	git_patch *patch = NULL;
	int r;

	if (git_libgit2_init() < 0)
		return -EIO;
	r = git_diff_options_init(&options, GIT_DIFF_OPTIONS_VERSION);
	options.flags = GIT_DIFF_FORCE_TEXT;
	if (r == 0)
		r = git_patch_from_buffers(&patch, old_text, old_length, NULL, new_text, new_length, NULL, &options);
	if (r == 0)
		r = git_patch_print(patch, on_piece, &diff);
	git_patch_free(patch);
	(void)git_libgit2_shutdown(); /* the count of users that are left: not of interest */
	if (r < 0) {
		diff_finish(&diff);
		return r == -ENOMEM ? r : -EIO;
	}
	*ret_diff = diff;
	return 0;
}

void diff_finish(struct diff *diff)
{
	free(diff->text);
	*diff = (struct diff){ 0 };
}
