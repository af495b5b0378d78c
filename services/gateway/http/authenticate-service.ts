// Authenticates another system by its service JWT.
import type { ServiceCaller } from "../../../libs/auth/service-jwt.ts";
import { GreenroomError } from "../../../libs/contracts/errors.ts";
import type { Gateway } from "../context.ts";

/**
 * @param authorization the header `Authorization`
 * @throws GreenroomError unauthorized
 */
export async function authenticateService(
  { serviceJwts }: Pick<Gateway, "serviceJwts">,
  authorization: string | undefined,
): Promise<ServiceCaller> {
  if (serviceJwts === undefined) {
    throw new GreenroomError(
      "unauthorized",
      "This gateway can't authenticate services. Set CONTROL_PLANE_JWT_SECRET or CONTROL_PLANE_JWT_PUBLIC_KEYS.",
    );
  }
  const token = /^Bearer +([^\s]+)$/i.exec(authorization ?? "")?.[1];
  if (token === undefined)
    throw new GreenroomError("unauthorized", "Send the header Authorization: Bearer <service JWT>.");
  return serviceJwts.verify(token);
}
